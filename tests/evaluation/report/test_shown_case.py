"""Volumes made small enough for a page, turned as radiologists look at them, and maps that lie beside masks."""

import base64
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from scripts.basics.figures import colour_of
from scripts.data import open_image
from scripts.data.phantoms import oblique_affine, reorient
from scripts.evaluation.report.montage import montage_of
from scripts.evaluation.report.page_content import LARGEST_CASE, drawn_case
from scripts.evaluation.report.shown_case import coarsening, maps_beside, show_case
from scripts.evaluation.report.sprites import size_of, sprites_of

from .conftest import SHAPE, volumes, write_case


def test_a_small_volume_is_shown_voxel_by_voxel(tmp_path: Path) -> None:
    case = show_case(write_case(tmp_path, "a"), [1, 4], open_image)
    assert case.factors == (1, 1, 1)
    mask, reference = volumes()["mask"], volumes()["reference"]
    np.testing.assert_array_equal(case.layers[0].voxels, np.select([mask == 1, mask == 4], [1, 2], 0))
    np.testing.assert_array_equal(case.layers[1].voxels, np.select([reference == 1, reference == 4], [1, 2], 0))


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.8, 0.8, 5.0), (3.0, 1.0, 1.0)])
@pytest.mark.parametrize("most", [1_000_000, 50_000, 200])
def test_coarse_voxels_are_as_few_as_they_must_and_as_cubic_as_they_can(spacing: tuple[float, ...], most: int) -> None:
    shape = (120, 100, 30)
    factors = coarsening(shape, np.array(spacing, float), most)
    assert np.prod(np.ceil(np.array(shape) / factors)) <= most
    edges = np.array(spacing) * factors
    coarsened = [axis for axis in range(3) if factors[axis] > 1]
    for axis in coarsened:  # none is longer than another would be in its next step
        assert edges[axis] <= min(spacing[other] * (factors[other] + 1) for other in range(3) if factors[other] < shape[other])


def test_coarse_images_are_means_and_coarse_labels_are_labels(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    case = show_case(files, [1, 4], open_image, most_voxels=SHAPE[0] * SHAPE[1] * SHAPE[2] // 8)
    assert case.image is not None
    factor = case.factors[0]
    assert factor > 1
    assert (
        case.layers[0].voxels.shape
        == case.image.shape
        == tuple(-(-size // f) for size, f in zip(SHAPE, case.factors, strict=True))
    )
    np.testing.assert_allclose(case.spacing, case.factors)
    means = volumes()["image"][:factor, : case.factors[1], : case.factors[2]].mean(), volumes()["image"].mean()
    assert (means[0] < means[1]) == (case.image[0, 0, 0] < case.image.mean())
    first = volumes()["mask"][
        factor // 2 :: factor, case.factors[1] // 2 :: case.factors[1], case.factors[2] // 2 :: case.factors[2]
    ]
    here = case.layers[0].voxels[tuple(slice(0, size) for size in first.shape)]
    np.testing.assert_array_equal(here, np.select([first == 1, first == 4], [1, 2], 0))


def test_the_worst_case_for_compression_stays_below_a_megabyte(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    files = {}
    for kind, voxels in (
        ("image", generator.normal(0, 100, (100, 100, 100)).astype(np.float32)),
        ("mask", np.tri(100, dtype=np.uint8)[:, :, None].repeat(100, 2)),
    ):
        files[kind] = str(tmp_path / f"{kind}.nii")
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), files[kind])
    sprites, montage = drawn_case(files, {1: colour_of(1)}, open_image, None, True)
    assert 0.1 * LARGEST_CASE < size_of(sprites) <= LARGEST_CASE
    assert size_of(sprites) + len(montage) < 1_000_000


def test_the_window_is_that_of_what_lies_around_the_structures(tmp_path: Path) -> None:
    """As CT, most of which is air."""
    voxels = volumes()
    far = voxels["image"].copy()
    far[:, :, -1] = -3000
    files = write_case(tmp_path, "a")
    small = np.zeros(SHAPE, np.uint8)
    small[5:7, 5:7, 0] = 1
    for kind, content in (("image", np.repeat(far, 4, 2)), ("mask", np.repeat(small, 4, 2))):
        nib.save(nib.Nifti1Image(content, np.eye(4)), files[kind])
    case = show_case({key: files[key] for key in ("image", "mask")}, [1], open_image)
    assert case.image is not None
    assert case.image[..., :30].std() > 30  # of 255; with the air in the window it would be a few


def test_where_the_spacing_is_unknown_no_plane_is_too_flat_to_see(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a", spacing=(1, 1, 0.01))
    assert show_case(files, [1], open_image).to_scale
    case = show_case(files, [1], open_image, spacing_known=False)
    extent = np.array(SHAPE) * case.spacing
    assert not case.to_scale
    assert extent.min() >= 0.3 * extent.max() - 1e-6


def test_maps_beside_a_mask_are_found_by_their_names_and_shown(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a[1]")
    folder = Path(files["mask"]).parent
    for name, highest in (
        ("a[1]_probability_left_lung", 0.5),
        ("a[1]_entropy", 0.7),
        ("b_probability_liver", 1),
        ("a[1]_probability_background", 1),
    ):
        nib.save(
            nib.Nifti1Image(np.linspace(0, highest, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE), np.eye(4)),
            folder / f"{name}.nii.gz",
        )
    assert list(maps_beside(files["mask"])) == ["entropy", "probability left lung"]
    entropy, probability = show_case(files, [1, 4], open_image).layers[-2:]
    assert (probability.highest, probability.voxels.max()) == (1.0, 128)
    assert (entropy.highest, entropy.voxels.max()) == (pytest.approx(0.7), 255)


def sprite(uri: str, columns: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The volume (R, A, S) of a sprite, by its definition."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    width, height, depth = shape
    tiles = [
        picture[height * (k // columns) : height * (k // columns + 1), width * (k % columns) : width * (k % columns + 1)]
        for k in range(depth)
    ]
    return np.stack([tile.T for tile in tiles], -1)


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "ASL", "PIR", "SLA"])
def test_sprites_hold_the_same_volume_however_it_is_stored(tmp_path: Path, axcodes: str) -> None:
    files = write_case(tmp_path, "a", 3, axcodes, (0.5, 1.0, 3.0))
    case = sprites_of(show_case(files, [1, 4], open_image))
    assert (case["shape"], case["spacing"], case["factors"]) == ([*SHAPE], pytest.approx([0.5, 1.0, 3.0]), [1, 1, 1])
    due = volumes(3)
    for layer in case["layers"]:
        stored = sprite(layer["sprite"], case["columns"]) / layer["step"]
        np.testing.assert_array_equal(stored, np.select([due[layer["name"]] == 1, due[layer["name"]] == 4], [1, 2], 0))
    image = sprite(case["image"], case["columns"]).astype(float)
    assert np.corrcoef(image.ravel(), due["image"].ravel())[0, 1] > 0.98


def test_the_patient_s_right_and_front_are_where_radiologists_look_for_them(tmp_path: Path) -> None:
    """In the montage; also of an oblique volume, by its nearest axes."""
    generator = np.random.default_rng(0)
    affine = oblique_affine(generator)
    voxels = np.zeros((30, 30, 10), np.float32)
    voxels[22:28, 22:28, 4:6] = 1000  # right and front
    for axcodes in ("RAS", "LIP"):
        files = {key: str(tmp_path / f"{key}.nii") for key in ("image", "mask")}
        nib.save(reorient(nib.Nifti1Image(voxels, affine), axcodes), files["image"])
        nib.save(reorient(nib.Nifti1Image(np.zeros((30, 30, 10), np.uint8), affine), axcodes), files["mask"])
        uri = montage_of(show_case(files, [1], open_image), [25, 25, 5], [colour_of(1)])
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L"))
        axial = picture[:, : picture.shape[1] * 30 // 96]  # of three planes, 30, 30 and 36 mm wide
        rows, columns = np.nonzero(axial > 128)
        assert rows.mean() < 0.4 * axial.shape[0]
        assert columns.mean() < 0.4 * axial.shape[1]
