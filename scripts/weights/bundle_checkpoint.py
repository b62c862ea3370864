"""A checkpoint that training saved -> the parameters of the network."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..files.checkpoint_file import read_about
from ..files.file_digest import file_digest
from ..run.settings import differences, network_settings
from .check_tensors import require_names, require_values
from .name_prefix import WRAPPERS, find_prefix
from .tensor_file import read_tensors

logger = logging.getLogger(__name__)

REMEDY = "was it trained with another preset or another network?"


def load_checkpoint(network: nn.Module, path: str | Path, settings: Mapping[str, Any] = {}) -> nn.Module:
    """Fills a network with the parameters of a checkpoint; every tensor must fit.

    Args:
        network: filled in place.
        path: a `model.pt` (a state dictionary) or a `last.pt` (one under the key `network`).
        settings: of this run; those of the network must be as in training, where the file says what they were.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: which names the file, also for a checkpoint of another encoder; the network may then be filled in part.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from scripts.weights import load_checkpoint
        >>> trained, network = torch.nn.Conv3d(1, 2, 1), torch.nn.Conv3d(1, 2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(trained.state_dict(), f"{folder}/model.pt")
        ...     load_checkpoint(network, f"{folder}/model.pt") is network
        True
        >>> torch.equal(network.weight, trained.weight)
        True
    """
    path = Path(path)
    content = read_tensors(path)
    _require_the_same_settings(path, settings)
    own = {**dict(network.named_parameters()), **network.state_dict()}  # the latter leaves a frozen encoder out
    prefix = find_prefix(content, own, WRAPPERS, path)
    state = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    if prefix:
        logger.info("%s: %r is left off the names of its tensors", path, prefix)
    shared = {name: value for name, value in state.items() if name in own}
    _require_the_same_classes(shared, own, path)
    require_values(shared, own, path, prefix, REMEDY)
    try:
        # Which names may be left out is the network's to say, hence not `strict`.
        missing, surplus = network.load_state_dict(state, strict=False)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not fit this network, {REMEDY} {error}") from error
    surplus = [prefix + name for name in surplus] + [name for name in content if not name.startswith(prefix)]
    require_names([prefix + name for name in missing], surplus, path, REMEDY)
    logger.info("%s: %d of %d tensors loaded, sha256 %s", path, len(state), len(content), file_digest(path))
    return network


def _require_the_same_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Of the network and what it sees."""
    trained = {} if path.suffix == ".safetensors" else network_settings(read_about(path) or {})
    if settings and not trained:
        logger.warning("%s does not say which preset it was trained with: make sure that it is this one", path)
        return
    now = {name: value for name, value in network_settings(settings).items() if name in trained}
    before = {name: trained[name] for name in now}
    if different := "; ".join(differences(before, now)):
        raise ValueError(
            f"{path} was trained with another preset: {different}; give the configs of that training run, which "
            "all networks of an ensemble share"
        )


def _require_the_same_classes(tensors: Mapping[str, Any], own: Mapping[str, torch.Tensor], path: Path) -> None:
    """If all that differs is the number of outputs of the last layers, that is the number of classes."""
    shapes = [(value.shape, own[name].shape) for name, value in tensors.items() if isinstance(value, torch.Tensor)]
    different = [(found, needed) for found, needed in shapes if found != needed]
    classes = {(*found[:1], *needed[:1]) for found, needed in different}
    if len(classes) == 1 and all(found[1:] == needed[1:] for found, needed in different):
        (numbers,) = classes
        if len(numbers) == 2:
            raise ValueError(f"{path} has {numbers[0]} classes, the preset names {numbers[1]}; {REMEDY}")
