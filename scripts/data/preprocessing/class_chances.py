"""How many voxels of each class a case has -> how often the centre of a crop is of each class."""

from collections.abc import Sequence

import numpy as np

CropClasses = str | Sequence[float]  # `balanced`, or ratios


def class_chances(counts: Sequence[int] | np.ndarray, crop_classes: CropClasses, pos: float, neg: float) -> np.ndarray | None:
    """The rule by which crops are drawn by class first: MONAI's `RandCropByLabelClassesd`, where a class that is absent has no
    chance, and where none is left whatever is labelled has.

    Args:
        counts: voxels of each class in this case, the background first. Absent ones may be left off at the end.
        crop_classes: ratios of the classes, the background first; or `balanced`, which gives all structures that are there
            equal shares of `pos`, and the background `neg`.
        pos: how often a structure is drawn, relative to `neg`.
        neg: how often the background is drawn, relative to `pos`.

    Returns:
        The probability of each class; None if the case has no labelled voxel.

    Example:
        >>> from scripts.data.preprocessing.class_chances import class_chances
        >>> class_chances([9000, 900, 0, 1], "balanced", pos=2, neg=1).round(2).tolist()
        [0.33, 0.33, 0.0, 0.33]
        >>> class_chances([9000, 900, 0, 1], [1, 1, 1, 6], pos=2, neg=1).tolist()
        [0.125, 0.125, 0.0, 0.75]
    """
    counts = np.asarray(counts, dtype=float)
    present = counts > 0
    if isinstance(crop_classes, str):
        ratios = np.full(len(counts), pos / max(present[1:].sum(), 1))
        ratios[:1] = neg
    else:
        ratios = np.array(crop_classes[: len(counts)], dtype=float)
    labelled = counts.copy()
    labelled[:1] = 0
    for chances in (ratios * present, labelled, counts):
        if chances.sum() > 0:
            return chances / chances.sum()
    return None
