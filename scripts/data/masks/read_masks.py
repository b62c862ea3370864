"""A mask and its reference, of whatever tool -> both on the reference's grid, as label values."""

from collections.abc import Collection
from typing import Any

import numpy as np
from monai.data import MetaTensor

from ..cases.case_error import CaseError
from ..cases.open_case import open_case, require_one_channel
from ..cases.read_case import read_whole_numbers, tensor_of, turned
from ..formats.image_file import ImageFile, Note
from .pair_masks import MaskPair


def read_masks(pair: MaskPair, values: Collection[int]) -> tuple[dict[str, Any], list[tuple[str, Note]]]:
    """What `evaluation.CaseMetrics` measures, and what is odd about the files.

    values: that both may hold.

    Raises:
        CaseError: where they lie on different grids, or hold other values.
    """
    opened = open_case({"image": str(pair.reference), "label": str(pair.mask)})
    (reference,), mask = opened.images, opened.label
    assert mask is not None
    require_one_channel(reference)
    affine = reference.affine
    result: dict[str, Any] = {
        "name": pair.name,
        "mask": str(pair.mask),
        "pred": tensor_of(turned(_read(mask, values), mask, reference), mask.path, affine),
        "reference": tensor_of(_read(reference, values), reference.path, affine),
    }
    if pair.image is not None:
        result["image"] = MetaTensor([0.0], meta={"filename_or_obj": str(pair.image)})  # only where it lies is asked for
    return result, list(opened.notes)


def _read(file: ImageFile, values: Collection[int]) -> np.ndarray:
    label = read_whole_numbers(file)
    if unknown := [f"{value:g}" for value in np.unique(label) if value not in values]:
        rule = f"masks and references may hold the values {', '.join(map(str, sorted(values)))}"
        found = f"found {', '.join(unknown[:5])}"
        raise CaseError(file.path, rule, found, "correct it, or name all values by --label-names")
    return label
