"""Affines -> distances, directions and turns, as brute force and nibabel find them."""

from collections.abc import Sequence

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scripts.basics.geometry import (
    axcodes,
    displacement,
    places_every_voxel,
    reorientation,
    reoriented,
    right_angled,
    same_place,
    shear,
    spacing_of,
)

SHAPE = (5, 4, 3)
SPACING = (0.7, 1.3, 2.9)
ORDERS = ("RAS", "LPS", "ASL", "PIR", "SLP", "IAR")


def affine_of(angles: Sequence[float] = (0, 0, 0), spacing: Sequence[float] = SPACING) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine[:3, 3] = (-91.3, 126.1, -72.7)
    return affine


def sheared(degrees: float) -> np.ndarray:
    """The first two axes enclose 90 - `degrees`; spacing as ever."""
    affine = np.eye(4)
    affine[:2, 1] = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    rotation = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix()
    affine[:3, :3] = rotation @ affine[:3, :3] * SPACING
    affine[:3, 3] = (-91.3, 126.1, -72.7)
    return affine


@pytest.mark.parametrize("seed", range(5))
def test_no_voxel_lies_further_apart_than_the_displacement_and_one_lies_that_far(seed: int) -> None:
    generator = np.random.default_rng(seed)
    affine, other = affine_of(), affine_of(generator.uniform(-20, 20, 3))
    other[:3] += generator.normal(0, 0.5, (3, 4))
    voxels = np.concatenate([np.indices(SHAPE).reshape(3, -1), np.ones((1, np.prod(SHAPE)))])
    distances = np.linalg.norm(((affine - other) @ voxels)[:3], axis=0)
    assert displacement(affine, other, SHAPE) == pytest.approx(distances.max())


@pytest.mark.parametrize(("moved", "same"), [(0.0, True), (0.069, True), (0.071, False), (np.nan, False)])
def test_grids_are_the_same_within_a_tenth_of_the_shortest_edge(moved: float, same: bool) -> None:
    other = affine_of()
    other[1, 3] += moved
    assert same_place(affine_of(), other, SHAPE) == same


def test_a_long_grid_shows_a_small_turn() -> None:
    turned = affine_of((0, 0, 0.1))
    turned[:3, 3] = affine_of()[:3, 3]
    assert same_place(affine_of(), turned, (5, 4, 3))
    assert not same_place(affine_of(), turned, (500, 4, 3))


def test_the_spacing_does_not_depend_on_the_direction() -> None:
    np.testing.assert_allclose(spacing_of(affine_of((10, 50, -70))), SPACING)
    np.testing.assert_allclose(spacing_of(affine_of() @ np.diag([-1, 1, -1, 1])), SPACING)


@pytest.mark.parametrize("spacing", [(1e-3, 1e-3, 1e-3), (0.1, 0.1, 50), (1e3, 1e3, 1e3)])
def test_voxels_of_any_size_are_places(spacing: Sequence[float]) -> None:
    assert places_every_voxel(affine_of((10, 20, 30), spacing))


@pytest.mark.parametrize(
    ("column", "values"),
    [(2, (0, 0, 0)), (2, (0, 1, 0)), (2, (3, 4, 0)), (0, (np.inf, 0, 0)), (3, (0, np.nan, 0))],
    ids=["no extent", "two axes in one direction", "three axes in one plane", "infinite", "no origin"],
)
def test_an_affine_of_two_voxels_at_one_place_is_told_apart(column: int, values: Sequence[float]) -> None:
    affine = affine_of()
    affine[:3, column] = values
    assert not places_every_voxel(affine)


@pytest.mark.parametrize("degrees", [0, 0.05, 3, 20])
def test_shear_is_said_in_degrees(degrees: float) -> None:
    assert shear(sheared(degrees)) == pytest.approx(degrees, abs=1e-5)


def test_right_angles_keep_the_spacing_the_origin_and_the_side() -> None:
    straight = right_angled(sheared(8))
    np.testing.assert_allclose(spacing_of(straight), SPACING)
    np.testing.assert_array_equal(straight[:, 3], sheared(8)[:, 3])
    assert shear(straight) < 1e-5
    assert np.linalg.det(straight[:3, :3]) > 0
    mirrored = sheared(8) @ np.diag([-1, 1, 1, 1])
    assert np.linalg.det(right_angled(mirrored)[:3, :3]) < 0


def test_right_angles_leave_alone_what_has_them() -> None:
    np.testing.assert_allclose(right_angled(affine_of((10, 20, 30))), affine_of((10, 20, 30)), atol=1e-12)


def test_no_right_angled_axes_are_closer() -> None:
    """Of the directions: turning the result by a little about any axis leads away from the sheared ones."""
    directions, straight = (affine[:3, :3] / SPACING for affine in (sheared(8), right_angled(sheared(8))))
    distance = np.linalg.norm(straight - directions)
    for turn in Rotation.random(50, random_state=0):
        little = Rotation.from_rotvec(turn.as_rotvec() * 1e-2).as_matrix()
        assert np.linalg.norm(little @ straight - directions) > distance


@pytest.mark.parametrize("order", ORDERS)
def test_axes_are_named_as_nibabel_names_them(order: str) -> None:
    image = stored("RAS", order)
    assert axcodes(image.affine) == order


def stored(start: str, order: str) -> nib.Nifti1Image:
    """Numbered voxels on an oblique grid that was written along the axes `start`, brought into `order` by nibabel."""
    image = nib.Nifti1Image(np.arange(60.0).reshape(SHAPE), affine_of((10, -7, 13)))
    for codes in (start, order):
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
        image = image.as_reoriented(turn)
    return image


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("start", ORDERS)
def test_reorientation_is_that_of_nibabel(start: str, order: str) -> None:
    image, target = stored("RAS", start), stored("RAS", order)
    affine, shape = reoriented(image.affine, image.shape, target.affine)
    np.testing.assert_allclose(affine, target.affine, atol=1e-9)
    assert shape == target.shape
    voxels = nib.apply_orientation(image.get_fdata(), reorientation(image.affine, target.affine))
    np.testing.assert_array_equal(voxels, target.get_fdata())
