"""Label values, as a person chose them, merged as the preset says <-> the network's classes 0, 1, 2, ...

A voxel to be ignored, of one of the preset's `ignore_label`, has the number of classes K as its class: `ignore_index` in the
configs and in the losses. No network predicts it, and what measures or draws crops leaves it out.
"""

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from ...basics.classes import merged_values
from ..formats.image_file import ImageFile
from ..formats.open_image import open_image
from .case_error import CaseError

logger = logging.getLogger(__name__)

LARGEST = 65535  # masks are uint8 or uint16
IGNORE = "ignore"  # what nnU-Net's dataset.json calls the value of voxels that nobody labelled


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


def ignored_values(ignore_label: Sequence[int], labels: Mapping[str, str]) -> list[int]:
    """The values to be ignored, each once. Raises ValueError for one that is a class too."""
    if both := sorted({*ignore_label} & {*label_values(labels)}):
        raise ValueError(
            f"a value is a class or ignored, not both, got {both[0]} in labels and in ignore_label; remove it from one of them"
        )
    return sorted({*ignore_label})


def is_ignored(name: str) -> bool:
    """By its name in a dataset.json."""
    return name.casefold() == IGNORE


def require_same_names(
    path: Path, content: Mapping[str, Any], labels: Mapping[str, str], ignore_label: Sequence[int] = ()
) -> None:
    """The names that a dataset.json gives its values (the Decathlon's {"1": "liver"}, nnU-Net's {"liver": 1}) against `labels`.

    Another name for a value goes into the log, as in doubt: people have several words for a thing. Raises CaseError when a name
    of `labels` stands at another value, and for voxels to be ignored whose value is not in `ignore_label`.
    """
    named = content.get("labels")
    pairs = named.items() if isinstance(named, Mapping) else ()
    theirs = [(int(key), str(value)) if str(key).isdecimal() else (value, str(key)) for key, value in pairs]
    ours = {folded(name): int(value) for value, name in labels.items()}
    rule, remedy = "its label names must be those of the preset", "correct 'labels' there, or those of the preset"
    for value, name in theirs if labels else ():
        if is_ignored(name):
            if value in ignore_label:
                continue
            found = f"{name!r} is the value {value} there, which the preset does not ignore"
            raise CaseError(str(path), rule, found, f"write ignore_label: [{value}] into the preset")
        if isinstance(value, int) and ours.get(folded(name), value) != value:
            found = f"{name!r} is the value {value} there and {ours[folded(name)]} in the preset"
            raise CaseError(str(path), rule, found, remedy)
    for value, name in theirs:
        if value and (own := labels.get(str(value))) and folded(own) != folded(name):
            logger.warning("in doubt: %s: the value %s is %r there and %r in the preset", path, value, name, own)


def folded(name: str) -> str:
    """By which two spellings of a name are one."""
    return "".join(filter(str.isalnum, name.casefold()))


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
        self.values = torch.tensor(label_values(labels), dtype=torch.int32)  # int64 is no type of ITK's images

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pred = data["pred"]
        values = self.values.to(pred.device)[pred.as_subclass(torch.Tensor).long()]
        return {**data, "pred": MetaTensor(values, meta=pred.meta)}


def to_mask_values(label: np.ndarray, merged: Mapping[int, int]) -> np.ndarray:
    """An array of a label file's values -> of those that masks have, in the same type. merged: of the former that differ, the
    latter; others stay."""
    if not merged:
        return label
    known = sorted(merged)
    places = np.searchsorted(known, label).clip(max=len(known) - 1)
    targets = np.array([merged[value] for value in known], label.dtype)
    return np.where(np.array(known)[places] == label, targets[places], label)


def open_label(path: str, labels: Mapping[str, str], merge_labels: Mapping[str, Sequence[str | int]] = {}) -> ImageFile:
    """Opens a label file, whose voxels are read with the values that masks have.

    Args:
        path: of the file.
        labels: label value -> name.
        merge_labels: class -> the labels that it is made of, see `classes_of`.

    Returns:
        Its header, and the way to its voxels.

    Raises:
        CaseError: as `open_image` does.
        ValueError: for labels that cannot be merged like this.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import open_label
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     label = open_label(f"{folder}/labels/phantom_000.nii.gz", LABELS, {"organ": ["kidney", "vessel"]})
        ...     sorted({*label.read().ravel().tolist()})
        [0.0, 2.0]
    """
    image = open_image(path)
    return replace(image, read=partial(_read_merged, image, merged_values(labels, merge_labels)))


def _read_merged(image: ImageFile, merged: Mapping[int, int]) -> np.ndarray:
    return to_mask_values(np.rint(image.read()), merged)


def to_classes(label: np.ndarray, values: list[int], ignored: Sequence[int] = ()) -> np.ndarray:
    """An array of these values -> of their positions in the list, in the same type; of those ignored: its length."""
    classes = np.searchsorted(values, label).astype(label.dtype)
    if ignored:
        classes[np.isin(label, ignored)] = len(values)
    return classes
