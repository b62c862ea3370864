"""Dice, HD95, ASSD and volumes against an implementation of our own, NSD against DeepMind's, and where they do not exist."""

from typing import NamedTuple

import numpy as np
import pytest
import surface_distance
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from scripts.evaluation import detection, segmentation_metrics

SPACING = (0.8, 1.1, 2.5)  # mm


def blobs(generator: np.random.Generator, classes: int = 3, shape: tuple[int, ...] = (17, 15, 11)) -> np.ndarray:
    """A label map of smooth, ragged regions, some of which touch the border."""
    return np.stack([gaussian_filter(generator.standard_normal(shape), 1.5) for _ in range(classes)]).argmax(0)


def surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~binary_erosion(mask)


def directed_distances(mask: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """From every voxel of one surface to the other surface."""
    return distance_transform_edt(~surface(other), sampling=spacing)[surface(mask)]


class Expected(NamedTuple):
    dice: float
    hd95: float
    assd: float
    nsd: float


def expected(mask: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> Expected:
    there, back = directed_distances(mask, reference, spacing), directed_distances(reference, mask, spacing)
    dice = 2 * (mask & reference).sum() / (mask.sum() + reference.sum())
    surfaces = surface_distance.compute_surface_distances(reference, mask, spacing)
    nsd = surface_distance.compute_surface_dice_at_tolerance(surfaces, tolerance)
    assd = (there.sum() + back.sum()) / (len(there) + len(back))
    return Expected(dice, max(np.percentile(there, 95), np.percentile(back, 95)), assd, nsd)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("tolerance", "unit"), [(1.0, "voxel"), (2.0, "voxel"), (1.2, "mm"), (3.0, "mm")])
def test_metrics_agree_with_their_definitions(seed: int, tolerance: float, unit: str) -> None:
    generator = np.random.default_rng(seed)
    mask, reference = blobs(generator), blobs(generator)
    for label in (1, 2):
        found = segmentation_metrics(torch.tensor(mask), torch.tensor(reference), label, SPACING, tolerance, unit)
        mm = expected(mask == label, reference == label, SPACING, tolerance)
        voxels = expected(mask == label, reference == label, (1, 1, 1), tolerance)
        sizes = [int((side == label).sum()) for side in (mask, reference)]
        volumes = [size * 0.8 * 1.1 * 2.5 / 1000 for size in sizes]
        assert found == {
            "dice": pytest.approx(mm.dice),
            "hd95_mm": pytest.approx(mm.hd95, rel=1e-6),
            "hd95_voxels": pytest.approx(voxels.hd95, rel=1e-6),
            "assd_mm": pytest.approx(mm.assd, rel=1e-6),
            "assd_voxels": pytest.approx(voxels.assd, rel=1e-6),
            "nsd": pytest.approx(mm.nsd if unit == "mm" else voxels.nsd, rel=1e-5),
            "voxels": sizes[0],
            "voxels_reference": sizes[1],
            "volume_ml": pytest.approx(volumes[0]),
            "volume_reference_ml": pytest.approx(volumes[1]),
            "volume_error_ml": pytest.approx(volumes[0] - volumes[1]),
            **detection(torch.tensor(mask == label), torch.tensor(reference == label)),
        }
        assert 0 < found["nsd"] < 1  # something was measured
        assert mm.hd95 != pytest.approx(voxels.hd95)
        assert mm.assd != pytest.approx(voxels.assd)


DEGENERATE = {
    "single voxels": (((0, 0, 0),), ((6, 5, 3),)),
    "the same voxel": (((3, 2, 1),), ((3, 2, 1),)),
    "corner and line at the border": (((0, 0, 0), (0, 0, 1)), ((6, 0, 0), (6, 1, 0), (6, 2, 0))),
    "two far voxels and one": (((0, 5, 3), (6, 0, 0)), ((0, 5, 3),)),
}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.3, 0.3, 5.0), SPACING])
@pytest.mark.parametrize("voxels", DEGENERATE.values(), ids=DEGENERATE)
def test_distances_and_volumes_of_a_few_voxels(voxels: tuple, spacing: tuple[float, ...]) -> None:
    mask, reference = np.zeros((2, 7, 6, 4), bool)
    for side, marked in zip((mask, reference), voxels, strict=True):
        side[tuple(zip(*marked, strict=True))] = True
    found = segmentation_metrics(torch.tensor(mask), torch.tensor(reference), True, spacing, 1.0, "mm")
    places = [np.array(marked) * spacing for marked in voxels]  # every voxel is at the border
    distances = np.linalg.norm(places[0][:, None] - places[1][None], axis=-1)
    there, back = distances.min(1), distances.min(0)
    assert found["assd_mm"] == pytest.approx(np.concatenate([there, back]).mean(), rel=1e-6)
    assert found["hd95_mm"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-6)
    assert found["volume_error_ml"] == pytest.approx((len(voxels[0]) - len(voxels[1])) * np.prod(spacing) / 1000)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI passes itself what it deprecates
@pytest.mark.parametrize("seed", range(200))
def test_distances_of_random_masks_are_those_of_their_definitions_and_of_monai(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1 + seed % 2, 24, 3))
    smooth, threshold = generator.uniform(0, 2), generator.uniform(-0.5, 0.5)
    mask, reference = (gaussian_filter(generator.standard_normal(shape), smooth) > threshold * 0.2 for _ in range(2))
    mask.flat[generator.integers(mask.size)] = reference.flat[generator.integers(mask.size)] = True
    spacing = tuple(generator.uniform(0.3, 5, 3).tolist())
    sides = [torch.tensor(side) for side in (mask, reference)]
    found = segmentation_metrics(*sides, True, spacing, 1.0, "mm")
    definition = expected(mask, reference, spacing, 1.0)
    assert (found["dice"], found["hd95_mm"], found["assd_mm"]) == pytest.approx(definition[:3], rel=1e-6, abs=1e-6)
    batches = [side[None, None].float() for side in sides]
    options = {"include_background": True, "spacing": list(spacing)}
    monai_assd = compute_average_surface_distance(*batches, symmetric=True, **options).item()
    monai_hd95 = compute_hausdorff_distance(*batches, percentile=95, **options).item()
    assert found["assd_mm"] == pytest.approx(monai_assd, rel=1e-6, abs=1e-6)
    assert found["hd95_mm"] == pytest.approx(monai_hd95, rel=1e-5)  # MONAI interpolates the percentile in single precision


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
    assert (metrics["assd_mm"], metrics["assd_voxels"], metrics["volume_error_ml"]) == (0, 0, 0)


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
    assert (metrics["assd_mm"], metrics["assd_voxels"]) == (None, None)
    volumes = (metrics["volume_ml"], metrics["volume_reference_ml"])
    assert sorted(volumes) == pytest.approx([0, 6**3 * 0.8 * 1.1 * 2.5 / 1000])
    assert metrics["volume_error_ml"] == pytest.approx(volumes[0] - volumes[1])
    assert {metrics["voxels"], metrics["voxels_reference"]} == {0, 6**3}


def test_a_class_on_no_side_is_not_measured() -> None:
    metrics = segmentation_metrics(cube(), cube(), 2, SPACING, 1.0, "mm")
    counts = {"voxels", "voxels_reference", "components_reference", "components_found", "components_false_positive"}
    assert {name: value for name, value in metrics.items() if value is not None} == dict.fromkeys(counts, 0)


def test_without_a_spacing_nothing_is_given_in_mm() -> None:
    metrics = segmentation_metrics(cube((0, 0, 1)), cube(), 1, None, 1.0, "voxel")
    assert {metrics[name] for name in metrics if name.endswith(("_mm", "_ml"))} == {None}
    assert (metrics["hd95_voxels"], metrics["nsd"]) == (1, 1)
    assert 0 < metrics["assd_voxels"] < 1


@pytest.mark.parametrize(("spacing", "unit", "named"), [(None, "mm", "spacing is unknown"), (SPACING, "cm", "'cm'")])
def test_a_tolerance_without_a_meaning_is_refused(spacing: tuple[float, ...] | None, unit: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        segmentation_metrics(cube(), cube(), 1, spacing, 1.0, unit)
