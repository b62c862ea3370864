"""A checkpoint that training saved -> the parameters of the network."""

import logging
from pathlib import Path

from torch import nn

from ..read_checkpoint import read_checkpoint

logger = logging.getLogger(__name__)


def load_checkpoint(network: nn.Module, path: str | Path) -> nn.Module:
    """The network with its parameters from `path`, in place; every tensor must fit.

    `path` is a `model.pt` (a state dictionary) or a `last.pt` (one under the key `network`).
    Raises FileNotFoundError, or ValueError that names the file, also for a checkpoint of another encoder.
    """
    state = read_checkpoint(Path(path))
    state = state.get("network", state)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not fit this network, was it trained with another preset? {error}") from error
    logger.info("%s: %d tensors loaded", path, len(state))
    return network
