"""What is wanted beside a mask -> the names of these maps, which become part of their files' names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...basics.map_files import ENTROPY, MUTUAL_INFORMATION, PROBABILITY
from ...files.checkpoint_file import checkpoints_of

LONGEST = 60  # bytes of a class's name in that of a file


def map_names(
    classes: Mapping[str, str],
    regions: Mapping[str, Sequence[int]],
    probabilities: bool,
    uncertainty: bool,
    checkpoint: str | Path | Sequence[str] = "model.pt",
    tta: str = "none",
) -> list[str]:
    """The maps of each case, first one for each of the network's outputs.

    Args:
        classes: value in masks -> name.
        regions: name -> values; empty: the network's outputs are classes.
        probabilities: whether that of each class or region is wanted.
        uncertainty: whether entropy is wanted and, where several networks or views are averaged, mutual information.
        checkpoint: the network's, or the list of an ensemble's.
        tta: `none`, or which views are averaged.

    Returns:
        Names that every file system takes, none of them twice, also where capitals do not count.

    Example:
        >>> from scripts.data import map_names
        >>> map_names({"0": "background", "1": "left/right"}, {}, probabilities=True, uncertainty=True)
        ['probability_background', 'probability_left_right', 'entropy']
    """
    names: list[str] = []
    for name in (regions or classes.values()) if probabilities else ():
        plain = _plain(name)
        others = {other.casefold() for other in names}
        number, own = 2, f"{PROBABILITY}{plain}"
        while own.casefold() in others:
            number, own = number + 1, f"{PROBABILITY}{plain}_{number}"
        names.append(own)
    if uncertainty:
        averaged = tta != "none" or len(checkpoints_of(checkpoint)) > 1
        names += [ENTROPY, MUTUAL_INFORMATION] if averaged else [ENTROPY]
    return names


def _plain(name: str) -> str:
    """Letters of any alphabet, digits, and - between them."""
    plain = re.sub(r"[^\w-]+", "_", name).strip("_") or "class"
    return plain.encode()[:LONGEST].decode(errors="ignore")
