"""One checkpoint, or several of networks that were trained alike -> one network."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from ..files.checkpoint_file import checkpoints_of
from .bundle_checkpoint import load_checkpoint


class Ensemble(Protocol):
    """A network of networks, see `networks.Ensemble`. Its `append` raises ValueError for one that does not fit the others."""

    def append(self, network: nn.Module) -> None: ...
    def as_network(self) -> nn.Module: ...


def load_ensemble(
    network: nn.Module,
    path: str | Path | Sequence[str],
    ensemble_of: Callable[[nn.Module], Ensemble],
    settings: Mapping[str, Any] = {},
) -> nn.Module:
    """Fills a network with the parameters of a checkpoint, and for a list of checkpoints a copy for each.

    Args:
        network: filled in place, with the first.
        path: of one checkpoint, or a list.
        ensemble_of: makes an ensemble of the first network, to which the others are appended.
        settings: of this run; those of the network must be as in the training of each.

    Returns:
        The ensemble `as_network`, which is the network itself where there is nothing to do but to apply it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: which names the file, for one that does not fit, that is named twice, or whose encoder is not the first's.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from scripts.networks import ensemble_of
        >>> from scripts.weights import load_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [f"{folder}/{name}.pt" for name in "ab"]
        ...     for file in files:
        ...         torch.save(torch.nn.Conv3d(1, 2, 1).state_dict(), file)
        ...     ensemble = load_ensemble(torch.nn.Conv3d(1, 2, 1), files, ensemble_of)
        >>> len(ensemble.networks)
        2
    """
    first, *others = map(Path, checkpoints_of(path))
    ensemble = ensemble_of(load_checkpoint(network, first, settings))
    seen = {first.resolve()}
    for other in others:
        if other.resolve() in seen:
            raise ValueError(f"{other} is named twice; each network of an ensemble counts once")
        seen.add(other.resolve())
        # A frozen encoder, which the file omits, comes with the copy.
        member = load_checkpoint(deepcopy(network), other, settings)
        try:
            ensemble.append(member)
        except ValueError as error:
            raise ValueError(f"{other} does not fit {first}: {error}") from error
    return ensemble.as_network()
