"""A checkpoint file -> its dictionary, read without running code from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, or ValueError naming the file when it is damaged, unsafe or no dictionary."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one first or give --checkpoint PATH")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged or foreign bytes happen to trigger
        raise ValueError(
            f"{path} cannot be read as a checkpoint of tensors: it is damaged, incomplete, or holds more than weights. "
            f"Get or save it again ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, a checkpoint must be a dictionary of tensors")
    return dict(content)
