"""A file that is going to be overwritten -> refused unless this bundle wrote it."""

import os
from collections.abc import Callable
from pathlib import Path


def refuse_foreign(path: Path, is_own: Callable[[Path], object]) -> None:
    """Raises FileExistsError if something is at `path` that `is_own` does not know, or cannot read as what it knows."""
    if not os.path.lexists(path):
        return
    try:
        own = path.is_file() and is_own(path)  # a pipe would be waited for
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        own = False
    if not own:
        raise FileExistsError(
            f"{path} is there and was not written by this bundle, or changed since; choose another output folder, or move it"
        )
