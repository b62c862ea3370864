"""Affines -> how far two grids lie apart, how they are turned, and whether they place every voxel."""

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike

TOUCHING = np.ones((3, 3, 3), bool)  # voxels that share a face, an edge or a corner: 26-connectivity
SAME_PLACE = 0.1  # voxels: headers hold single precision, and writers round
EXACT = 1e-3  # mm, between a voxel of an image and that of its mask: more than single precision loses
SHORTEST, LONGEST = 0.005, 100.0  # mm, of a voxel's edge; beyond them no medical image lies


def spacing_of(affine: ArrayLike) -> np.ndarray:
    """Edge lengths of a voxel in mm: the norms of the affine's columns."""
    return np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)


def places_every_voxel(affine: np.ndarray) -> bool:
    """Whether it is finite and no two voxels lie at one place."""
    if not np.isfinite(affine).all() or not spacing_of(affine).all():
        return False
    directions = affine[:3, :3] / spacing_of(affine)
    return abs(np.linalg.det(directions)) > 1e-3


def displacement(affine: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """The largest distance in mm between the two places of a voxel of a grid (H, W, D); it is attained at a corner."""
    corners = np.stack(np.meshgrid(*([0, n - 1] for n in shape), [1], indexing="ij"), -1).reshape(-1, 4)
    return float(np.linalg.norm(corners @ (affine - other).T, axis=1).max())


def same_place(affine: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> bool:
    return displacement(affine, other, shape) <= SAME_PLACE * spacing_of(affine).min()


def exactly_there(affine: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> bool:
    """Not so for affines that are not finite."""
    return displacement(affine, other, shape) <= EXACT


def axcodes(affine: np.ndarray) -> str:
    """Where the axes point, for example RAS."""
    return "".join(nib.aff2axcodes(affine))


def shear(affine: np.ndarray) -> float:
    """By how many degrees the axes deviate from right angles."""
    directions = affine[:3, :3] / spacing_of(affine)
    cosines = np.abs(directions.T @ directions - np.eye(3)).max()
    return float(np.degrees(np.arcsin(min(cosines, 1.0))))


def right_angled(affine: np.ndarray) -> np.ndarray:
    """The affine of the same spacing and centre of rotation whose axes are the closest right-angled ones."""
    u, _, vt = np.linalg.svd(affine[:3, :3] / spacing_of(affine))
    result = np.array(affine, dtype=float)
    result[:3, :3] = u @ vt * spacing_of(affine)
    return result


def reorientation(affine: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What nibabel's `apply_orientation` needs to bring an array stored along `affine` into the order of axes of `target`."""
    return nib.orientations.ornt_transform(nib.io_orientation(affine), nib.io_orientation(target))


def reoriented(affine: np.ndarray, shape: Sequence[int], target: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape after that reorientation."""
    turn = reorientation(affine, target)
    new_shape = tuple(int(shape[list(turn[:, 0]).index(axis)]) for axis in range(3))
    return affine @ nib.orientations.inv_ornt_aff(turn, shape), new_shape
