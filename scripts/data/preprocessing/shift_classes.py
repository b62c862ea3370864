"""Class numbers -> the same, moved by a number, so that another class stands at 0."""

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transform


class ShiftClassesd(Transform):
    """`label`, where there is one -> `label + by`.

    Padding and rotations fill with 0, the background, what comes in from outside. Between a shift by minus `ignore_index` and
    one back it is to be ignored instead, whatever the transform: nobody labelled it.

    Args:
        by: 0 changes nothing.

    Example:
        >>> import torch
        >>> from monai.transforms import BorderPad, Compose
        >>> from scripts.data import ShiftClassesd
        >>> label = torch.tensor([[0, 1, 2]])
        >>> moved = BorderPad([1])(ShiftClassesd(-2)({"label": label})["label"])
        >>> ShiftClassesd(2)({"label": moved})["label"].tolist()
        [[2, 0, 1, 2, 2]]
    """

    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, "label": data["label"] + self.by} if self.by and "label" in data else dict(data)
