"""What the preset's intensity scaling leaves must show something; else the file is named, and nothing is segmented."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, ScaleIntensityRanged, ScaleIntensityRangePercentilesd, Transform

from scripts.data import CaseError, CheckContrastd, ReadCased
from scripts.data.cases.read_case import doubts_of

LABELS = {"0": "background", "1": "liver"}
WINDOW = ScaleIntensityRanged("image", -160.0, 240.0, 0.0, 1.0, clip=True)  # HU
PERCENTILES = ScaleIntensityRangePercentilesd("image", 0.5, 99.5, 0.0, 1.0, clip=True, channel_wise=True)


def run(folder: Path, voxels: np.ndarray, *scaling: Transform) -> torch.Tensor:
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), np.eye(4)), folder / "scan.nii.gz")
    modalities = 1 if voxels.ndim == 3 else voxels.shape[3]
    steps = Compose([ReadCased(modalities, LABELS), *scaling, CheckContrastd()])
    return steps({"image": str(folder / "scan.nii.gz")})["image"]


def noise(mean: float, deviation: float, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(mean, deviation, shape or (6, 5, 4))


@pytest.mark.parametrize("scaling", [(), (WINDOW,), (PERCENTILES,)], ids=["none", "window", "percentiles"])
def test_an_image_with_contrast_passes_unchanged(tmp_path: Path, scaling: tuple[Transform, ...]) -> None:
    voxels = noise(40, 100)
    image = run(tmp_path, voxels, *scaling)
    expected = Compose([ReadCased(1, LABELS), *scaling])({"image": str(tmp_path / "scan.nii.gz")})["image"]
    assert torch.equal(image.as_tensor(), expected.as_tensor())
    assert image.affine.equal(expected.affine)


def mostly_zero(share: float, value: float = 0.0) -> np.ndarray:
    """20 x 20 x 20 voxels of noise, a share of which have one value."""
    voxels = noise(40, 100, 20, 20, 20)
    voxels.flat[: round(share * voxels.size)] = value
    return voxels


@pytest.mark.filterwarnings("ignore:Divide by zero")  # MONAI's, before the refusal that names the file
@pytest.mark.parametrize(
    ("voxels", "scaling", "said"),
    [
        (noise(5000, 100), WINDOW, "100 % of the voxels have one value"),
        (noise(-3000, 100), WINDOW, "100 % of the voxels have one value"),
        (mostly_zero(0.999), PERCENTILES, "99.9 % of the voxels have one value"),
        (mostly_zero(0.998, value=-5000), PERCENTILES, "99.8 % of the voxels have one value"),
    ],
    ids=["MRI in a window of Hounsfield units", "below the window", "equal percentiles", "equal to the darkest"],
)
def test_scaling_that_leaves_nothing_to_see_is_refused_by_name(
    tmp_path: Path, voxels: np.ndarray, scaling: Transform, said: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path, voxels, scaling)
    error = caught.value.__cause__
    assert isinstance(error, CaseError)
    assert error.file == str(tmp_path / "scan.nii.gz")
    assert "the preset's intensity scaling must leave contrast" in str(error)
    assert said in str(error)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_a_small_body_in_much_air_passes(tmp_path: Path, share: float) -> None:
    image = run(tmp_path, mostly_zero(share, value=-1000), PERCENTILES)
    assert (image.min(), image.max()) == (0, 1)


def test_one_constant_channel_of_several_is_refused(tmp_path: Path) -> None:
    voxels = np.stack([noise(40, 100), noise(5000, 100)], -1)
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path, voxels, WINDOW)
    assert isinstance(caught.value.__cause__, CaseError)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_scaling_made_infinite_are_refused(tmp_path: Path, value: float) -> None:
    nib.save(nib.Nifti1Image(noise(40, 100).astype(np.float32), np.eye(4)), tmp_path / "scan.nii.gz")
    case = ReadCased(1, LABELS)({"image": str(tmp_path / "scan.nii.gz")})
    case["image"][0, 1, 2, 3] = value
    with pytest.raises(CaseError, match="some voxels became NaN or infinite"):
        CheckContrastd()(case)


def saved(folder: Path, voxels: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), np.eye(4)), folder / "scan.nii.gz")
    return str(folder / "scan.nii.gz")


def doubts(folder: Path, voxels: np.ndarray, scaling: Transform) -> list[str]:
    data = Compose([ReadCased(1, LABELS), scaling, CheckContrastd()])({"image": saved(folder, voxels)})
    return [f"{file}: {note.rule}; {note.found}" for file, note in doubts_of(data, "scan")]


def bordered(value: float, voxels: np.ndarray) -> np.ndarray:
    """A quarter of the voxels has one value."""
    voxels[: len(voxels) // 4] = value
    return voxels


MR = np.random.default_rng(1).uniform(0, 1000, (20, 20, 20))
CT = np.concatenate([noise(-1000, 15, 8, 20, 20), noise(40, 60, 12, 20, 20)])


@pytest.mark.parametrize(
    ("voxels", "scaling", "said"),
    [
        ((CT + 1000) / 2000, WINDOW, "should fit the image's intensities; all but 1 % of the voxels lie within 0.00"),
        ((CT - CT.mean()) / CT.std(), WINDOW, "should fit the image's intensities; all but 1 %"),
        (np.abs(CT + 1024), WINDOW, "should fit the image's intensities; 60 % of the voxels have the largest value"),
        (bordered(-32768, MR.copy()), PERCENTILES, "should not set the scale of intensities; 25 % of the voxels"),
        (bordered(32767, MR.copy()), PERCENTILES, "should not set the scale of intensities; 25 % of the voxels"),
        (bordered(-2000, MR.copy()), PERCENTILES, "should not set the scale of intensities; 25 % of the voxels"),
    ],
    ids=["CT from 0 to 1", "standardised CT", "CT without its offset", "dark border", "bright border", "padding"],
)
def test_what_the_scaling_makes_of_another_kind_of_image_is_doubted(
    tmp_path: Path, voxels: np.ndarray, scaling: Transform, said: str
) -> None:
    (doubt,) = doubts(tmp_path, voxels, scaling)
    assert said in doubt


@pytest.mark.parametrize(
    ("voxels", "scaling"),
    [
        (CT, WINDOW),
        (CT, PERCENTILES),
        (bordered(-2000, CT.copy()), WINDOW),
        (bordered(-1024, CT.copy()), PERCENTILES),
        (MR, PERCENTILES),
        (bordered(0, MR.copy()), PERCENTILES),
        (bordered(0, MR + 300), PERCENTILES),
        (mostly_zero(0.9), PERCENTILES),
    ],
    ids=["CT", "CT by percentiles", "padded CT", "air at one value", "MR", "no skull", "no skull, bright brain", "much air"],
)
def test_healthy_images_are_not_doubted(tmp_path: Path, voxels: np.ndarray, scaling: Transform) -> None:
    assert doubts(tmp_path, voxels, scaling) == []


@pytest.mark.parametrize("fill", [-32768, -2000, 32767])
def test_a_fixed_window_needs_no_doubt_since_a_fill_value_changes_no_other_voxel(tmp_path: Path, fill: float) -> None:
    """By percentiles the same fill presses all other voxels together."""
    filled = bordered(fill, CT.copy())
    assert doubts(tmp_path, filled, WINDOW) == []
    rest = slice(len(CT) // 4, None)
    for scaling, same in ((WINDOW, True), (PERCENTILES, False)):
        plain, with_fill = (Compose([ReadCased(1, LABELS), scaling])({"image": saved(tmp_path, v)}) for v in (CT, filled))
        assert torch.equal(plain["image"][0, rest].as_tensor(), with_fill["image"][0, rest].as_tensor()) == same
