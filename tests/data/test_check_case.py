"""A case as it was read -> the same case, or an error that says what is wrong with which file."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from scripts.data import CaseError, CheckCased

LABELS = {"0": "background", "1": "liver", "2": "kidney"}
AFFINE = np.array([[0, 2.0, 0, 10], [-1.5, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])


def read(folder: Path, image: np.ndarray, label: np.ndarray | None = None, moved: float = 0.0) -> dict[str, MetaTensor]:
    """Image and label as the pipeline reads them; the label's affine moved by `moved` mm."""
    affine = AFFINE.copy()
    affine[1, 3] += moved
    files = {"image": folder / "scan.nii.gz"} | ({} if label is None else {"label": folder / "truth.nii.gz"})
    nib.save(nib.Nifti1Image(image, AFFINE), files["image"])
    if label is not None:
        nib.save(nib.Nifti1Image(label, affine), files["label"])
    return load(files)


def load(files: dict[str, Path]) -> dict[str, MetaTensor]:
    return Compose([LoadImaged(list(files), reader="NibabelReader"), EnsureChannelFirstd(list(files))])(files)


def good_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape or (6, 5, 4)).astype(np.float32)


def good_label() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, (6, 5, 4)).astype(np.float32)


def with_voxel(array: np.ndarray, value: float) -> np.ndarray:
    array[3, 2, 1] = value
    return array


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("modalities", [1, 3])
def test_a_good_case_passes_unchanged(tmp_path: Path, modalities: int, labelled: bool) -> None:
    image = good_image(6, 5, 4) if modalities == 1 else good_image(6, 5, 4, modalities)
    case = read(tmp_path, image, good_label() if labelled else None)
    before = {key: tensor.clone() for key, tensor in case.items()}
    checked = CheckCased(modalities, LABELS)(case)
    assert list(checked) == list(before)
    for key, tensor in before.items():
        assert checked[key] is case[key]
        assert checked[key].equal(tensor)
        assert checked[key].affine.equal(tensor.affine)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (lambda: good_image(6, 5), "6 x 5"),
        (lambda: good_image(6, 5, 4, 2), "2 channels"),
        (lambda: good_image(6, 5, 4, 2, 2), "6 x 5 x 4"),
        (lambda: with_voxel(good_image(), np.nan), "1 voxels are NaN"),
        (lambda: with_voxel(good_image(), np.inf), "1 voxels are NaN or infinite"),
        (lambda: with_voxel(good_image(), -np.inf), "1 voxels are NaN or infinite"),
        (lambda: np.full((6, 5, 4), 7, np.float32), "every voxel is 7"),
    ],
    ids=["a slice", "a time series", "five dimensions", "NaN", "infinite", "minus infinite", "constant"],
)
def test_a_wrong_image_is_refused_by_name(tmp_path: Path, image: Callable[[], np.ndarray], named: str) -> None:
    case = read(tmp_path, image())
    with pytest.raises(CaseError, match=named) as caught:
        CheckCased(1, LABELS)(case)
    assert caught.value.file == str(tmp_path / "scan.nii.gz")


def test_fewer_modalities_than_the_preset_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="1 channels"):
        CheckCased(2, LABELS)(read(tmp_path, good_image()))


@pytest.mark.parametrize(
    ("column", "values"),
    [(2, [0, 0, 0]), (2, [0, 1, 0]), (3, [np.nan, 0, 0])],
    ids=["no extent", "two axes in one direction", "no place"],
)
def test_an_affine_that_places_no_voxel_is_refused(tmp_path: Path, column: int, values: list[float]) -> None:
    rows = np.eye(4)[:3]
    rows[:, column] = values
    volume = nib.Nifti1Image(good_image(), None)
    volume.header["sform_code"] = 1
    volume.header["srow_x"], volume.header["srow_y"], volume.header["srow_z"] = rows
    nib.save(volume, tmp_path / "scan.nii.gz")
    with pytest.raises(CaseError, match="affine") as caught:
        CheckCased(1, LABELS)(load({"image": tmp_path / "scan.nii.gz"}))
    assert caught.value.file == str(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize(
    ("label", "moved", "named"),
    [
        (lambda: good_label()[:5], 0.0, "shape"),
        (lambda: np.stack([good_label()] * 2, -1), 0.0, "shape"),
        (good_label, 0.01, "affines differ by up to 0.01"),
        (lambda: with_voxel(good_label(), 0.5), 0.0, "found 0.5"),
        (lambda: with_voxel(good_label(), -1), 0.0, "found -1"),
        (lambda: with_voxel(good_label(), 3), 0.0, "found 3"),
        (lambda: with_voxel(good_label(), np.nan), 0.0, "found nan"),
    ],
    ids=["another shape", "two channels", "moved", "fractional", "negative", "out of range", "NaN"],
)
def test_a_wrong_label_is_refused_by_name(tmp_path: Path, label: Callable[[], np.ndarray], moved: float, named: str) -> None:
    case = read(tmp_path, good_image(), label(), moved)
    with pytest.raises(CaseError, match=named) as caught:
        CheckCased(1, LABELS)(case)
    assert caught.value.file == str(tmp_path / "truth.nii.gz")


def test_affines_that_agree_to_single_precision_are_accepted(tmp_path: Path) -> None:
    CheckCased(1, LABELS)(read(tmp_path, good_image(), good_label(), moved=5e-4))


def test_a_reference_is_checked_like_a_label(tmp_path: Path) -> None:
    case = read(tmp_path, good_image(), with_voxel(good_label(), 200))
    case["reference"] = case.pop("label")
    with pytest.raises(CaseError, match="200"):
        CheckCased(1, LABELS)(case)


@pytest.mark.parametrize(
    "labels", [{"0": "background", "2": "tumour"}, {"1": "liver", "0": "background"}, ["background", "liver"]]
)
def test_labels_that_do_not_count_from_0_are_refused(labels: object) -> None:
    with pytest.raises(ValueError, match="0, 1, 2"):
        CheckCased(1, labels)
