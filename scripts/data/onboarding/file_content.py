"""An image file -> what its content says: its grid, and whether its voxels look like labels."""

from functools import cache

import numpy as np

from ...basics.geometry import reoriented, same_place
from ..cases.case_error import CaseError
from ..formats.image_file import ImageFile
from ..formats.open_image import open_image

FEW, MANY = 8, 512  # distinct values: an image has more than FEW, labels at most MANY
ALIKE = 0.5  # share of neighbouring voxels of one value, background aside, that labels have and noisy images do not
SAME = 0.5  # Dice of two masks that show one structure


@cache
def header_of(path: str) -> ImageFile | None:
    """None if the file cannot be read: whoever uses it will say why."""
    try:
        return open_image(path)
    except CaseError:
        return None


@cache
def looks_like_labels(path: str) -> bool | None:
    """Whole numbers, few of them, in coherent regions; None if it cannot be read."""
    voxels = _voxels(path)
    if voxels is None:
        return None
    if voxels.shape[0] != 1 or voxels.min() < 0 or not (voxels == np.rint(voxels)).all():
        return False
    count = len(np.unique(voxels))
    if count <= FEW:
        return True
    before, after = voxels[:, :-1], voxels[:, 1:]
    shown = (before > 0) | (after > 0)
    return count <= MANY and bool((before == after)[shown].mean() > ALIKE)


def on_one_grid(path: str, other: str) -> bool:
    """Also if stored along other axes. Of a file that cannot be read nothing else is known."""
    a, b = header_of(path), header_of(other)
    if a is None or b is None:
        return True
    affine, shape = reoriented(b.affine, b.shape, a.affine)
    return shape == a.shape and same_place(a.affine, affine, a.shape)


def are_structures(paths: list[str]) -> bool:
    """Whether each is a mask, on one grid, of something else: no two agree more than they differ."""
    masks = []
    for path in paths:
        voxels = _voxels(path)
        if voxels is None or len(np.unique(voxels[voxels != 0])) > 1 or not on_one_grid(paths[0], path):
            return False
        masks.append(voxels != 0)
    shown = [mask for mask in masks if mask.any()]
    pairs = ((a, b) for i, a in enumerate(shown) for b in shown[:i])
    return all(2 * (a & b).sum() <= SAME * (a.sum() + b.sum()) for a, b in pairs if a.shape == b.shape)


def _voxels(path: str) -> np.ndarray | None:
    header = header_of(path)
    try:
        return None if header is None else header.read()
    except CaseError:
        return None
