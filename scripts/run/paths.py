"""A path as a user writes it -> the path that is meant."""

import os
from datetime import date, datetime
from typing import Any

PATHS = (
    *("input", "dataset_dir", "output_dir", "checkpoint", "init_from", "encoder_weights", "transformer_weights"),
    *("cache_dir", "bundle_root", "models_dir"),
)
SEVERAL = ("checkpoint",)  # of these, which may be a list: of an ensemble
EVALUATED = ("$", "@", "%")  # MONAI runs, refers to, or copies what begins so


def meant_path(text: str) -> str:
    """`~` becomes the user's folder. Raises ValueError for an empty text, and for a `~` that nothing can replace."""
    if not text.strip():
        raise ValueError("a path must not be empty; is a variable of the shell not set?")
    path = os.path.expanduser(text)
    if path.startswith("~") and not os.path.lexists(path):
        raise ValueError(f"{text} begins with a user whom this machine does not know; if it is a path, write ./{text}")
    return path


def path_of_word(word: str, value: Any, several: bool = False) -> Any:
    """word: of a command line. value: what fire made of it, which is meant only where the user wrote quotes for fire, or where
    there may be `several` the brackets of a list.
    """
    if several and isinstance(value, list) and not os.path.lexists(word):
        return value
    quoted = isinstance(value, str) and word[:1] in ("'", '"') and word[:1] == word[-1:]
    return value if quoted and not os.path.lexists(word) else word


def path_of_value(value: Any) -> Any:
    """value: of a config file. YAML makes a date of 2024-03-01; of a number nobody knows how it was written."""
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value
