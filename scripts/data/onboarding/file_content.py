"""An image file -> what its content says: its grid, and whether its voxels look like labels."""

from functools import cache

import numpy as np

from ..cases.case_error import CaseError
from ..cases.label_maps import is_label_map
from ..cases.open_case import on_one_grid
from ..formats.image_file import ImageFile
from ..formats.open_image import open_image

SAME = 0.5  # Dice of two masks that show one structure


@cache
def header_of(path: str) -> ImageFile | None:
    """None if the file cannot be read: whoever uses it will say why."""
    try:
        return open_image(path)
    except CaseError:
        return None


@cache
def looks_like_labels(path: str, named: bool) -> bool | None:
    """See `is_label_map`. None if it cannot be read, or shows nothing and could be either.

    A label has one channel; of more, what is named a label is taken for one, since reading it then says what to do.
    """
    voxels = _voxels(path)
    if voxels is None or not (named or voxels.any()):
        return None
    return (named or voxels.shape[0] == 1) and is_label_map(voxels, named)


def may_be_on_one_grid(path: str, other: str) -> bool:
    """Of a file that cannot be read nothing else is known."""
    a, b = header_of(path), header_of(other)
    return a is None or b is None or on_one_grid(a, b)


def are_structures(paths: list[str]) -> bool:
    """Whether each is a mask, on one grid, of something else: no two agree more than they differ."""
    masks = []
    for path in paths:
        voxels = _voxels(path)
        if voxels is None or len(np.unique(voxels[voxels != 0])) > 1 or not may_be_on_one_grid(paths[0], path):
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
