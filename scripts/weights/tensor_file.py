"""A file of weights, in any of the usual wrappings -> its tensors by name."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ..files.checkpoint_file import read_checkpoint

logger = logging.getLogger(__name__)

WRAPPINGS = ("network", "model", "state_dict")  # keys under which programs keep the tensors; `network` is our last.pt's


def read_tensors(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, or ValueError that names the file. That the values are tensors is not checked here."""
    if path.suffix == ".safetensors" and path.is_file():
        return _read_safetensors(path)
    content = read_checkpoint(path)
    inner = [key for key in WRAPPINGS if isinstance(content.get(key), Mapping)]
    if len(inner) > 1:
        raise ValueError(f"{path} holds tensors under {' and under '.join(inner)}: save those that are meant, alone")
    if inner:
        logger.info("%s: taking the tensors under %r of %s", path, inner[0], ", ".join(map(repr, content)))
        content = dict(content[inner[0]])
    for name in content:
        if not isinstance(name, str):
            raise ValueError(f"{path} has the key {name!r}: a checkpoint must be a dictionary of tensors by name")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own kind for damage, others for what damage leads to
        raise ValueError(f"{path} cannot be read as safetensors: it is damaged or cut ({error}). Get it again") from error
