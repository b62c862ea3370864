"""Dice and HD95 against an implementation of our own, NSD against DeepMind's, and where they do not exist."""

import numpy as np
import pytest
import surface_distance
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from scripts.evaluation import segmentation_metrics

SPACING = (0.8, 1.1, 2.5)  # mm


def blobs(generator: np.random.Generator, classes: int = 3, shape: tuple[int, ...] = (17, 15, 11)) -> np.ndarray:
    """A label map of smooth, ragged regions, some of which touch the border."""
    return np.stack([gaussian_filter(generator.standard_normal(shape), 1.5) for _ in range(classes)]).argmax(0)


def surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~binary_erosion(mask)


def directed_distances(mask: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """From every voxel of one surface to the other surface."""
    return distance_transform_edt(~surface(other), sampling=spacing)[surface(mask)]


def expected(
    mask: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> tuple[float, float, float]:
    """Dice, HD95 and NSD."""
    there, back = directed_distances(mask, reference, spacing), directed_distances(reference, mask, spacing)
    dice = 2 * (mask & reference).sum() / (mask.sum() + reference.sum())
    surfaces = surface_distance.compute_surface_distances(reference, mask, spacing)
    nsd = surface_distance.compute_surface_dice_at_tolerance(surfaces, tolerance)
    return dice, max(np.percentile(there, 95), np.percentile(back, 95)), nsd


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("tolerance", "unit"), [(1.0, "voxel"), (2.0, "voxel"), (1.2, "mm"), (3.0, "mm")])
def test_metrics_agree_with_their_definitions(seed: int, tolerance: float, unit: str) -> None:
    generator = np.random.default_rng(seed)
    mask, reference = blobs(generator), blobs(generator)
    for label in (1, 2):
        found = segmentation_metrics(torch.tensor(mask), torch.tensor(reference), label, SPACING, tolerance, unit)
        dice, hd95_mm, nsd_mm = expected(mask == label, reference == label, SPACING, tolerance)
        _, hd95_voxels, nsd_voxels = expected(mask == label, reference == label, (1, 1, 1), tolerance)
        assert found == {
            "dice": pytest.approx(dice),
            "hd95_mm": pytest.approx(hd95_mm, rel=1e-5),
            "hd95_voxels": pytest.approx(hd95_voxels, rel=1e-5),
            "nsd": pytest.approx(nsd_mm if unit == "mm" else nsd_voxels, rel=1e-5),
            "voxels": (mask == label).sum(),
            "voxels_reference": (reference == label).sum(),
        }
        assert 0 < found["nsd"] < 1  # something was measured
        assert hd95_mm != pytest.approx(hd95_voxels)


def test_nsd_is_that_of_the_literature_on_anisotropic_voxels() -> None:
    """Also on single slices, at borders, and where surfaces lie just at the tolerance."""
    generator = np.random.default_rng(0)
    measured = []
    while len(measured) < 200:
        shape = (*generator.integers(4, 20, 2), 1 if len(measured) % 10 == 0 else generator.integers(2, 16))
        smooth = generator.uniform(0.4, 2)
        mask, reference = (gaussian_filter(generator.standard_normal(shape), smooth) > 0 for _ in range(2))
        if not (mask.any() and reference.any()):
            continue
        spacing = tuple(np.round(generator.uniform(0.3, 5, 3), 3).tolist())
        tolerance = spacing[0] if len(measured) % 3 == 0 else generator.uniform(0, 4)
        found = segmentation_metrics(torch.tensor(mask), torch.tensor(reference), True, spacing, tolerance, "mm")["nsd"]
        surfaces = surface_distance.compute_surface_distances(reference, mask, spacing)
        assert found == pytest.approx(surface_distance.compute_surface_dice_at_tolerance(surfaces, tolerance), abs=1e-6)
        measured.append(found)
    assert 0.1 < np.mean(measured) < 0.9


def cube(shift: tuple[int, int, int] = (0, 0, 0), value: int = 1) -> torch.Tensor:
    mask = torch.zeros(16, 16, 16, dtype=torch.uint8)
    mask[tuple(slice(5 + s, 11 + s) for s in shift)] = value
    return mask


@pytest.mark.parametrize("axis", range(3))
def test_a_shift_of_one_voxel_is_one_spacing_along_its_axis(axis: int) -> None:
    shift = tuple(int(i == axis) for i in range(3))
    metrics = segmentation_metrics(cube(shift), cube(), 1, SPACING, 1.0, "voxel")
    assert metrics["hd95_mm"] == pytest.approx(SPACING[axis])
    assert metrics["hd95_voxels"] == 1
    assert metrics["nsd"] == pytest.approx(1)
    assert metrics["dice"] == pytest.approx(5 / 6)


def test_a_perfect_mask_has_perfect_metrics() -> None:
    metrics = segmentation_metrics(cube(), cube(), 1, SPACING, 0.0, "mm")
    assert (metrics["dice"], metrics["hd95_mm"], metrics["hd95_voxels"], metrics["nsd"]) == (1, 0, 0, 1)


def test_other_labels_do_not_count() -> None:
    with_another = cube()
    with_another[:3] = 2
    first, second = (segmentation_metrics(mask, cube(), 1, SPACING, 1.0, "mm") for mask in (cube((1, 0, 0)), with_another))
    assert second["dice"] == 1
    assert first["dice"] < 1


@pytest.mark.parametrize("sides", [(cube(), cube(value=2)), (cube(value=2), cube())], ids=["nothing expected", "nothing found"])
def test_one_empty_side_is_the_worst_overlap_and_has_no_distance(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    metrics = segmentation_metrics(*sides, 1, SPACING, 1.0, "mm")
    assert (metrics["dice"], metrics["nsd"], metrics["hd95_mm"], metrics["hd95_voxels"]) == (0, 0, None, None)
    assert {metrics["voxels"], metrics["voxels_reference"]} == {0, 6**3}


def test_a_class_on_no_side_is_not_measured() -> None:
    metrics = segmentation_metrics(cube(), cube(), 2, SPACING, 1.0, "mm")
    assert (metrics.pop("voxels"), metrics.pop("voxels_reference")) == (0, 0)
    assert set(metrics.values()) == {None}


def test_without_a_spacing_nothing_is_given_in_mm() -> None:
    metrics = segmentation_metrics(cube((0, 0, 1)), cube(), 1, None, 1.0, "voxel")
    assert metrics["hd95_mm"] is None
    assert (metrics["hd95_voxels"], metrics["nsd"]) == (1, 1)


@pytest.mark.parametrize(("spacing", "unit", "named"), [(None, "mm", "spacing is unknown"), (SPACING, "cm", "'cm'")])
def test_a_tolerance_without_a_meaning_is_refused(spacing: tuple[float, ...] | None, unit: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        segmentation_metrics(cube(), cube(), 1, spacing, 1.0, unit)
