"""The checkpoint of a trained network -> the first weights of a new one, as far as they fit."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from ..basics.classes import classes_of
from ..basics.contracts import DIGEST_KEY, ENCODER_PREFIX, is_on_embeddings
from ..files.checkpoint_file import read_about
from .check_tensors import require_numbers
from .name_prefix import WRAPPERS, find_prefix
from .tensor_file import read_tensors

logger = logging.getLogger(__name__)

HEADS = "decoder.heads."
REMEDY = "start from another checkpoint, or leave --init-from out"
NAMED = 5  # tensors in a line of the log


def init_from(
    network: nn.Module, path: str | Path, labels: Mapping[Any, str], regions: Mapping[str, Any] = MappingProxyType({})
) -> nn.Module:
    """Fills a new network with what fits of a trained one, which may have had other classes, modalities or spacing.

    A tensor of the same name and shape is copied. The last layers of a decoder's heads are copied class by class: a row goes to
    the class of the same name, the background's to the background. All else keeps its fresh values, and one line of the log
    says what. What is frozen of the encoder stays as it is at hand; a warning says if the checkpoint had another, or if
    something was trained in it that is frozen here.

    Args:
        network: filled in place; untouched if an error is raised.
        path: a `model.pt` or a `last.pt`. A file that does not say which classes it has leaves the last layers fresh.
        labels: label value -> name of the class, in the order of the network's outputs.
        regions: of a network that has an output for each of these instead, by their names.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: which names the file, also for a checkpoint of which less than half fits: that is another network.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
        >>> from scripts.weights import init_from
        >>> encoder = SAMSliceEncoder({"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()})
        >>> trained, network = (SAM3D(encoder, ResidualDecoder(256, out_channels=classes)) for classes in (2, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(trained.state_dict(), f"{folder}/model.pt")
        ...     _ = init_from(network, f"{folder}/model.pt", {"0": "background", "1": "liver", "2": "spleen"})
        >>> torch.equal(network.decoder.stages[0].conv1.weight, trained.decoder.stages[0].conv1.weight)
        True
    """
    path, own = Path(path), network.state_dict()
    content = read_tensors(path)
    prefix = find_prefix(content, own, WRAPPERS, path)
    state = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    own.pop(DIGEST_KEY, None)
    if DIGEST_KEY in state:  # in place of tensors that are those of encoder_weights then and now
        own = {name: value for name, value in own.items() if name not in _pretrained(network) - state.keys()}
    for name in own.keys() & state.keys():
        require_numbers(state[name], own[name], f"{path}: {prefix}{name}", REMEDY)
    outputs = _outputs(own)
    copied = {name: state[name] for name in own if name not in outputs and _shape(state, name) == own[name].shape}
    # What tuning adds to an encoder says nothing about the network, and changes nothing where it stays fresh.
    added = {name for name in own if name.startswith(ENCODER_PREFIX)} - _pretrained(network)
    _require_half({*copied} - added, own.keys() - outputs - added, state, path)

    names = [*map(str, labels.values())]
    now, before = [*map(str, regions)] or names, _classes(path, names[0])
    rows = {name: _by_class(state[name], own[name], before, now) for name in outputs if _has_rows(state, own, name, before)}
    network.load_state_dict({**copied, **rows}, strict=False)

    known = [name for name in now if name in before] if rows else []
    by_class = f", {len(known)} rows of the heads by class name ({', '.join(known) or 'none'})" if outputs else ""
    fresh = [f"class {name}" for name in now if name not in known] if rows else []
    fresh += _some([name for name in own if name not in copied and name not in rows])
    logger.info(
        "init_from: %s: %d of %d tensors%s; fresh: %s",
        *(path, len(copied), len(own) - len(outputs), by_class, ", ".join(fresh) or "nothing"),
    )
    if not outputs and before != now:
        logger.warning(
            "init_from: which outputs of this network are which classes is not known to it, so they are copied in the order of "
            "%s; now the classes are %s",
            *(", ".join(before) or "classes that the file does not name", ", ".join(now)),
        )
    _compare_encoders(network, state, copied, path)
    return network


def _pretrained(network: object) -> set[str]:
    """Names of the tensors that come from encoder_weights."""
    return {ENCODER_PREFIX + name for name in network.encoder.pretrained()} if is_on_embeddings(network) else set()


def _outputs(names: Collection[str]) -> set[str]:
    """Those of the last layer of every head, whose first axis is the classes. names: in the order of the layers."""
    layers = {name.removeprefix(HEADS).partition(".")[0]: _layer(name) for name in names if name.startswith(HEADS)}
    return {name for name in names if _layer(name) in layers.values()}


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _shape(tensors: Mapping[str, torch.Tensor], name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None


def _require_half(copied: Collection[str], needed: Iterable[str], state: Mapping[str, Any], path: Path) -> None:
    needed = sorted(needed)
    if 2 * len(copied) >= len(needed):
        return
    name = next(name for name in needed if name not in copied)
    found = f"has the shape {tuple(state[name].shape)} in the file" if name in state else "is not in the file"
    raise ValueError(
        f"{path}: at least half of the network's tensors must fit to start from it, {len(copied)} of {len(needed)} do (for "
        f"example {name} {found}): it is of another network. Give that one by --network and its channels, or {REMEDY}; SAM's "
        "own weights are given by --encoder-weights"
    )


def _classes(path: Path, background: str) -> list[str]:
    """Their names, or those of regions, in the order of the outputs; [] where the file does not say.

    background: what it is called now, whatever it was.
    """
    about = {} if path.suffix == ".safetensors" else read_about(path) or {}
    labels, merged, regions = about.get("labels"), about.get("merge_labels") or {}, about.get("regions")
    if isinstance(regions, dict) and regions:
        return [*map(str, regions)]
    return [background, *map(str, [*classes_of(labels, merged).values()][1:])] if isinstance(labels, dict) and labels else []


def _has_rows(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], name: str, before: Sequence[str]) -> bool:
    return bool(before) and _shape(state, name) == (len(before), *own[name].shape[1:])


def _by_class(trained: torch.Tensor, fresh: torch.Tensor, before: Sequence[str], now: Sequence[str]) -> torch.Tensor:
    """(K, ...) of the classes before -> (K', ...) of those now."""
    rows = fresh.clone()
    for row, name in enumerate(now):
        if name in before:
            rows[row] = trained[before.index(name)]
    return rows


def _some(names: Sequence[str]) -> list[str]:
    more = len(names) - NAMED
    return [*names[:NAMED], *([f"and {more} more"] if more > 0 else [])]


def _compare_encoders(network: nn.Module, state: Mapping[str, Any], copied: Collection[str], path: Path) -> None:
    """The embeddings of another encoder are other features than those that the decoder was trained on."""
    if not is_on_embeddings(network):
        return
    trained = [name for name in state if name.startswith(ENCODER_PREFIX)]
    digest = state.get(DIGEST_KEY)
    if digest is not None:
        live = network.encoder.sha256(without=[name.removeprefix(ENCODER_PREFIX) for name in trained])
        if not isinstance(digest, torch.Tensor) or digest.tolist() != live.tolist():
            logger.warning(
                "init_from: %s was trained on another encoder: the decoder starts on embeddings that it does not know. If that "
                "is not meant, give the encoder of that run: --encoder-weights, encoder_variant and encoder_seed",
                path,
            )
    if any(name not in copied for name in trained):
        logger.warning(
            "init_from: the encoder in %s was trained too, and what was trained in it is frozen in this run, or not there: the "
            "decoder starts on embeddings that it does not know. The overlay of that run (train_encoder, last_blocks, lora or "
            "depth_adapter) takes over both",
            path,
        )
