"""A case's files -> its volumes with their geometry, every voxel checked; or an error that names the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate
from monai.transforms import EnsureChannelFirst, LoadImage

from scripts.data import CaseError, ReadCased, open_label
from scripts.data.cases.read_case import read_from
from scripts.data.phantoms import reorient

LABELS = {"0": "background", "1": "liver", "2": "kidney"}
SPARSE = {"0": "background", "3": "liver", "7": "kidney"}
AFFINE = np.array([[0, 2.0, 0, 10], [-1.5, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)


def good_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape or SHAPE).astype(np.float32)


def good_label(values: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    return np.random.default_rng(1).choice(values, SHAPE).astype(np.float32)


def with_voxel(array: np.ndarray, value: float) -> np.ndarray:
    array[3, 2, 1] = value
    return array


def write(
    folder: Path, image: np.ndarray, label: np.ndarray | None = None, key: str = "label", **of_label: Any
) -> dict[str, str]:
    """of_label: the `affine` and the order of axes `axcodes` in which it is stored."""
    case = {"image": str(folder / "scan.nii.gz")}
    nib.save(nib.Nifti1Image(image, AFFINE), case["image"])
    if label is not None:
        case[key] = str(folder / "truth.nii.gz")
        stored = nib.Nifti1Image(label, of_label.get("affine", AFFINE))
        nib.save(reorient(stored, of_label["axcodes"]) if "axcodes" in of_label else stored, case[key])
    return case


@pytest.mark.parametrize("key", ["label", "reference", None])
@pytest.mark.parametrize("modalities", [1, 3])
def test_a_case_is_read_as_monai_reads_it(tmp_path: Path, modalities: int, key: str | None) -> None:
    shape = SHAPE if modalities == 1 else (*SHAPE, modalities)
    case = write(tmp_path, good_image(*shape), good_label() if key else None, key or "label")
    read = ReadCased(modalities, LABELS)(case)
    assert list(read) == list(case)
    for name, file in case.items():
        expected = EnsureChannelFirst()(LoadImage(reader="NibabelReader")(file))
        assert torch.equal(read[name].as_tensor(), expected.as_tensor())
        assert read[name].affine.equal(expected.affine)
        assert read[name].dtype == torch.float32
        assert read[name].as_tensor().is_contiguous()
        assert read_from(read[name]) == file
        for field in ("original_affine", "spatial_shape"):
            np.testing.assert_array_equal(read[name].meta[field], expected.meta[field])
        assert read[name].meta["space"] == expected.meta["space"]


def test_what_else_a_case_says_is_kept(tmp_path: Path) -> None:
    case = write(tmp_path, good_image()) | {"name": "scan_seg"}
    assert ReadCased(1, LABELS)(case)["name"] == "scan_seg"
    assert case["image"] == str(tmp_path / "scan.nii.gz")


def test_cases_with_and_without_a_subject_are_of_one_batch(tmp_path: Path) -> None:
    case = write(tmp_path, good_image())
    batch = list_data_collate([ReadCased(1, LABELS)(one) for one in (case, case | {"subject": "7"})])
    assert batch["image"].shape[0] == 2


def test_a_file_for_each_modality_becomes_channels_in_their_order(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{i}.nii") for i in (1, 0)]
    for i, file in enumerate(files):
        nib.save(nib.Nifti1Image(good_image() + i, AFFINE), file)
    image = ReadCased(2, LABELS)({"image": files})["image"]
    np.testing.assert_array_equal(image.numpy(), np.stack([good_image(), good_image() + 1]))
    assert read_from(image) == files[0]


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (lambda: good_image(6, 5), "6 x 5"),
        (lambda: good_image(6, 5, 4, 2), "2 channels"),
        (lambda: good_image(6, 5, 4, 2, 2), "6 x 5 x 4"),
        (lambda: with_voxel(good_image(), np.nan), "1 voxels are NaN"),
        (lambda: with_voxel(good_image(), np.inf), "1 voxels are NaN, infinite"),
        (lambda: with_voxel(good_image(), -np.inf), "1 voxels are NaN, infinite"),
        (lambda: with_voxel(good_image().astype(np.float64), 1e300), "too large for single precision"),
        (lambda: np.full(SHAPE, 7, np.float32), "every voxel is 7"),
    ],
    ids=["a slice", "a time series", "five dimensions", "NaN", "infinite", "minus infinite", "overflow", "constant"],
)
def test_a_wrong_image_is_refused_by_name(tmp_path: Path, image: Callable[[], np.ndarray], named: str) -> None:
    with pytest.raises(CaseError, match=named) as caught:
        ReadCased(1, LABELS)(write(tmp_path, image()))
    assert caught.value.file == str(tmp_path / "scan.nii.gz")


def test_one_constant_channel_of_several_is_refused(tmp_path: Path) -> None:
    image = good_image(*SHAPE, 2)
    image[..., 1] = 3
    with pytest.raises(CaseError, match="an image must have contrast; every voxel is 3"):
        ReadCased(2, LABELS)(write(tmp_path, image))


def test_fewer_modalities_than_the_preset_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="expects 2 modalities; it has 1 channel "):
        ReadCased(2, LABELS)(write(tmp_path, good_image()))


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
        ReadCased(1, LABELS)({"image": str(tmp_path / "scan.nii.gz")})
    assert caught.value.file == str(tmp_path / "scan.nii.gz")


MOVED = AFFINE + np.array([[0, 0, 0, 0.2]] + [[0] * 4] * 3)


@pytest.mark.parametrize("key", ["label", "reference"])
@pytest.mark.parametrize(
    ("label", "affine", "named"),
    [
        (lambda: good_label()[:5], AFFINE, "shape"),
        (lambda: np.stack([good_label()] * 2, -1), AFFINE, "it has 2 channels"),
        (good_label, MOVED, "up to 0.2 mm apart"),
        (lambda: with_voxel(good_label(), 0.5), AFFINE, "found 0.5"),
        (lambda: with_voxel(good_label(), 1.01), AFFINE, "found 1.01"),
        (lambda: with_voxel(good_label(), -1), AFFINE, "found -1"),
        (lambda: with_voxel(good_label(), 3), AFFINE, "found 3"),
        (lambda: with_voxel(good_label(), 200), AFFINE, "found 200"),
        (lambda: with_voxel(good_label(), np.nan), AFFINE, "NaN or infinite"),
        (lambda: with_voxel(good_label(), np.inf), AFFINE, "NaN or infinite"),
    ],
    ids=[
        *("another shape", "two channels", "moved", "fractional", "nearly whole", "negative", "out of range", "far out"),
        *("NaN", "infinite"),
    ],
)
def test_a_wrong_label_is_refused_by_name(
    tmp_path: Path, label: Callable[[], np.ndarray], affine: np.ndarray, named: str, key: str
) -> None:
    case = write(tmp_path, good_image(), label(), key, affine=affine)
    with pytest.raises(CaseError, match=named) as caught:
        ReadCased(1, LABELS)(case)
    assert caught.value.file == str(tmp_path / "truth.nii.gz")


def test_values_that_scaling_left_near_whole_numbers_are_those_numbers(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).uniform(-9e-4, 9e-4, SHAPE).astype(np.float32)
    read = ReadCased(1, LABELS)(write(tmp_path, good_image(), good_label() + noise))
    np.testing.assert_array_equal(read["label"][0].numpy(), good_label())


def test_label_values_become_classes_and_a_reference_keeps_them(tmp_path: Path) -> None:
    values = good_label((0, 3, 7))
    case = write(tmp_path, good_image(), values)
    read = ReadCased(1, SPARSE)
    classes = np.select([values == 3, values == 7], [1, 2], 0)
    np.testing.assert_array_equal(read(case)["label"][0].numpy(), classes)
    reference = read({"image": case["image"], "reference": case["label"]})["reference"]
    np.testing.assert_array_equal(reference[0].numpy(), values)


@pytest.mark.parametrize("value", [1, 2, 4, 8])
def test_a_value_between_those_of_the_preset_is_refused(tmp_path: Path, value: int) -> None:
    case = write(tmp_path, good_image(), with_voxel(good_label((0, 3, 7)), value))
    with pytest.raises(CaseError, match=f"may hold the values of the preset, 0, 3, 7; found {value};"):
        ReadCased(1, SPARSE)(case)


@pytest.mark.parametrize("key", ["label", "reference"])
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "ASL", "PIR", "SLP", "IAR"])
def test_a_label_stored_along_other_axes_comes_onto_the_image_s(tmp_path: Path, axcodes: str, key: str) -> None:
    case = write(tmp_path, good_image(), good_label(), key, axcodes=axcodes)
    read = ReadCased(1, LABELS)(case)
    codes = "".join(nib.aff2axcodes(AFFINE))
    expected = reorient(nib.load(case[key]), codes).get_fdata()
    np.testing.assert_array_equal(read[key][0].numpy(), expected)
    np.testing.assert_array_equal(read[key][0].numpy(), good_label())
    assert read[key].affine.equal(read["image"].affine)


@pytest.mark.parametrize(
    ("key", "empty_labels", "accepted"), [("label", False, False), ("label", True, True), ("reference", False, True)]
)
def test_a_label_without_any_structure_is_accepted_where_it_is_meant(
    tmp_path: Path, key: str, empty_labels: bool, accepted: bool
) -> None:
    case = write(tmp_path, good_image(), np.zeros(SHAPE, np.float32), key)
    read = ReadCased(1, LABELS, empty_labels)
    if accepted:
        assert not read(case)[key].any()
        return
    with pytest.raises(CaseError, match="set empty_labels to true") as caught:
        read(case)
    assert caught.value.file == str(tmp_path / "truth.nii.gz")


def spoiled(path: Path, kind: str) -> Path:
    nib.save(nib.Nifti1Image(good_image(), AFFINE), path.with_name("whole.nii.gz"))
    whole = path.with_name("whole.nii.gz").read_bytes()
    contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"not an image", "flipped": whole[:-6] + b"\0" * 6}
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "flipped"])
def test_a_damaged_file_is_refused_by_name_in_one_line(tmp_path: Path, kind: str) -> None:
    path = spoiled(tmp_path / "bad.nii.gz", kind)
    with pytest.raises(CaseError, match=r"bad\.nii\.gz") as error:
        ReadCased(1, LABELS)({"image": str(path)})
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("labels", [{"1": "liver", "0": "background"}, ["background", "liver"], {"0": "background"}])
def test_labels_that_do_not_rise_from_0_are_refused(labels: Any) -> None:
    with pytest.raises(ValueError, match="the preset's label"):
        ReadCased(1, labels)


def test_a_tensor_without_a_file_is_called_so() -> None:
    assert read_from(MetaTensor(torch.zeros(1))) == "a tensor without a file"


def test_voxels_to_be_ignored_are_of_no_class_and_keep_their_values_in_a_reference(tmp_path: Path) -> None:
    values = good_label((0, 3, 7, 255, 9))
    case = write(tmp_path, good_image(), values)
    read = ReadCased(1, SPARSE, ignore_label=[255, 9])
    classes = np.select([values == 3, values == 7, values >= 9], [1, 2, 3], 0)
    np.testing.assert_array_equal(read(case)["label"][0].numpy(), classes)
    reference = read({"image": case["image"], "reference": case["label"]})["reference"]
    np.testing.assert_array_equal(reference[0].numpy(), values)
    with pytest.raises(CaseError, match="may hold the values of the preset, 0, 3, 7, 255; found 9;"):
        ReadCased(1, SPARSE, ignore_label=[255])(case)
    with pytest.raises(ValueError, match="got 7 in labels and in ignore_label"):
        ReadCased(1, SPARSE, ignore_label=[7])


@pytest.mark.parametrize("key", ["label", "reference"])
def test_a_case_of_which_nobody_labelled_a_voxel_is_refused(tmp_path: Path, key: str) -> None:
    case = write(tmp_path, good_image(), good_label((255, 9)), key)
    with pytest.raises(CaseError, match=r"some voxels must be labelled; every voxel is to be ignored \(9, 255\)"):
        ReadCased(1, LABELS, True, [9, 255])(case)


def test_background_alone_among_what_is_ignored_shows_no_structure(tmp_path: Path) -> None:
    case = write(tmp_path, good_image(), good_label((0, 9)))
    with pytest.raises(CaseError, match="must show a structure; every voxel is background or to be ignored"):
        ReadCased(1, LABELS, ignore_label=[9])(case)
    assert ReadCased(1, LABELS, True, [9])(case)["label"].unique().tolist() == [0, 3]


MERGED = {"organ": [3, "kidney"]}
THREE = {**SPARSE, "9": "vessel"}


def test_merged_labels_are_one_class_and_those_not_named_are_background(tmp_path: Path) -> None:
    values = good_label((0, 3, 7, 9, 255))
    case = write(tmp_path, good_image(), values)
    read = ReadCased(1, THREE, ignore_label=[255], merge_labels={"organ": [9, 7]})
    classes = np.select([np.isin(values, [7, 9]), values == 255], [1, 2], 0)
    np.testing.assert_array_equal(read(case)["label"][0].numpy(), classes)
    reference = read({"image": case["image"], "reference": case["label"]})["reference"]
    of_masks = np.select([np.isin(values, [7, 9]), values == 255], [7, 255], 0)
    np.testing.assert_array_equal(reference[0].numpy(), of_masks)
    shown = open_label(case["label"], THREE, {"organ": [9, 7]}).read()
    np.testing.assert_array_equal(shown[0], of_masks)


def test_a_value_that_is_merged_into_nothing_is_still_one_of_the_labels(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="may hold the values of the preset, 0, 3, 7, 9; found 4;"):
        ReadCased(1, THREE, merge_labels=MERGED)(write(tmp_path, good_image(), good_label((0, 3, 4))))


def test_a_case_with_none_of_the_classes_is_refused_like_an_empty_one(tmp_path: Path) -> None:
    case = write(tmp_path, good_image(), good_label((0, 9)))
    with pytest.raises(CaseError, match="structure; every voxel is background, since merge_labels has none of its labels;"):
        ReadCased(1, THREE, merge_labels=MERGED)(case)
    assert ReadCased(1, THREE, True, merge_labels=MERGED)(case)["label"].unique().tolist() == [0]


def test_labels_that_cannot_be_merged_are_refused() -> None:
    with pytest.raises(ValueError, match="merge_labels names 'liver' for 'b', which is in 'a' already"):
        ReadCased(1, SPARSE, merge_labels={"a": [3], "b": ["liver"]})
