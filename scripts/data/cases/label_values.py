"""Label values, as a person chose them <-> the network's classes 0, 1, 2, ..."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

LARGEST = 65535  # masks are uint8 or uint16


def label_values(labels: Mapping[str, str]) -> list[int]:
    """{"0": "background", "3": "liver", "7": "tumour"} -> [0, 3, 7]. Raises ValueError in words."""
    if not isinstance(labels, Mapping) or len(labels) < 2:
        raise ValueError(f"the preset's labels must name at least the values 0 and one more, got {labels}")
    try:
        values = [int(str(value)) for value in labels]
    except ValueError as error:
        raise ValueError(f"the preset's labels must have whole numbers as keys, got {list(labels)}") from error
    if values[0] != 0 or sorted(set(values)) != values or values[-1] > LARGEST:
        raise ValueError(f"the preset's label values must rise from 0 (background) to at most {LARGEST}, got {values}")
    return values


class ClassesToLabelsd(Transform):
    """`pred` (1, H, W, D) of class numbers -> of the preset's label values.

    Args:
        labels: label value -> name, values rising from 0.

    Raises:
        ValueError: for values that do not rise from 0, or that no mask can hold.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import ClassesToLabelsd
        >>> transform = ClassesToLabelsd({"0": "background", "3": "liver", "7": "tumour"})
        >>> transform({"pred": MetaTensor(torch.tensor([[[[0, 1, 2]]]]))})["pred"].tolist()
        [[[[0, 3, 7]]]]
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.values = torch.tensor(label_values(labels))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pred = data["pred"]
        values = self.values.to(pred.device)[pred.as_subclass(torch.Tensor).long()]
        return {**data, "pred": MetaTensor(values, meta=pred.meta)}


def to_classes(label: np.ndarray, values: list[int]) -> np.ndarray:
    """An array of these values -> of their positions in the list, in the same type."""
    return np.searchsorted(values, label).astype(label.dtype)
