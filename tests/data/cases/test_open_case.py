"""A case's files lie on one grid, by their headers alone; else the one that does not is named."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_phantom import write_series
from scipy.spatial.transform import Rotation

from scripts.data import CaseError
from scripts.data.cases.open_case import open_case
from scripts.data.phantoms import reorient

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix() * (0.7, 1.3, 2.9)
AFFINE[:3, 3] = (-91.3, 126.1, -72.7)
SHAPE = (6, 5, 4)


def save(path: Path, *shape: int, moved: float = 0.0, axcodes: str = "RAS") -> str:
    affine = AFFINE.copy()
    affine[1, 3] += moved
    voxels = np.random.default_rng(0).integers(0, 3, shape or SHAPE).astype(np.uint8)
    nib.save(reorient(nib.Nifti1Image(voxels, affine), axcodes), path)
    return str(path)


@pytest.mark.parametrize("modalities", [1, 3])
@pytest.mark.parametrize("key", ["label", "reference", None])
def test_a_good_case_is_opened_without_a_word(tmp_path: Path, modalities: int, key: str | None) -> None:
    case = {"image": [save(tmp_path / f"{i}.nii") for i in range(modalities)]}
    if key is not None:
        case[key] = save(tmp_path / "truth.nii")
    opened = open_case(case, modalities)
    assert [image.path for image in opened.images] == case["image"]
    assert (opened.label and opened.label.path) == case.get(key)
    assert opened.notes == ()


def test_no_voxel_is_read(tmp_path: Path) -> None:
    """Compressed voxels that are missing are not missed yet."""
    for name in ("scan.nii.gz", "truth.nii.gz"):
        voxels = np.random.default_rng(0).integers(0, 3, (40, 40, 40)).astype(np.uint8)
        nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:3000])
    opened = open_case({"image": str(tmp_path / "scan.nii.gz"), "label": str(tmp_path / "truth.nii.gz")}, 1)
    assert opened.images[0].shape == (40, 40, 40)
    with pytest.raises(CaseError, match="whole"):
        opened.images[0].read()


@pytest.mark.parametrize(
    ("files", "modalities", "found"),
    [
        ([(6, 5, 4, 2)], 1, "it has 2 channels (1 file)"),
        ([SHAPE], 2, "it has 1 channel (1 file)"),
        ([SHAPE, SHAPE], 1, "it has 2 channels (2 files)"),
        ([(6, 5, 4, 2), SHAPE], 2, "it has 3 channels (2 files)"),
    ],
)
def test_another_number_of_channels_than_the_preset_s_is_refused(
    tmp_path: Path, files: list[tuple[int, ...]], modalities: int, found: str
) -> None:
    paths = [save(tmp_path / f"{i}.nii", *shape) for i, shape in enumerate(files)]
    with pytest.raises(CaseError) as caught:
        open_case({"image": paths}, modalities)
    assert (caught.value.file, caught.value.found) == (paths[0], found)
    assert caught.value.rule == f"the preset expects {modalities} modalities"


def test_the_channels_of_several_files_may_differ_in_number(tmp_path: Path) -> None:
    paths = [save(tmp_path / "0.nii", *SHAPE, 2), save(tmp_path / "1.nii")]
    assert len(open_case({"image": paths}, 3).images) == 2


@pytest.mark.parametrize(
    ("shape", "moved", "axcodes", "found"),
    [
        ((6, 5, 5), 0.0, "RAS", "its shape is 6 x 5 x 5, the other's 6 x 5 x 4"),
        (SHAPE, 0.08, "RAS", "they lie up to 0.08 mm apart"),
        (SHAPE, 5.0, "RAS", "they lie up to 5 mm apart"),
        (SHAPE, 5.0, "LPS", "mm apart"),
    ],
    ids=["another shape", "moved a little", "moved", "moved and turned"],
)
@pytest.mark.parametrize("role", ["second modality", "label", "reference"])
def test_a_file_on_another_grid_is_refused_by_name(
    tmp_path: Path, shape: tuple[int, ...], moved: float, axcodes: str, found: str, role: str
) -> None:
    image, other = save(tmp_path / "scan.nii"), save(tmp_path / "other.nii", *shape, moved=moved, axcodes=axcodes)
    case = {"image": [image, other]} if role == "second modality" else {"image": image, role: other}
    with pytest.raises(CaseError) as caught:
        open_case(case, 1 + (role == "second modality"))
    assert (caught.value.file, caught.value.rule) == (other, "all files of a case must lie on one grid")
    assert found in caught.value.found


def test_grids_that_agree_to_what_headers_can_say_are_one(tmp_path: Path) -> None:
    assert not open_case({"image": save(tmp_path / "scan.nii"), "label": save(tmp_path / "truth.nii", moved=5e-4)}, 1).notes


@pytest.mark.parametrize("axcodes", ["LPS", "ASL", "SRA"])
def test_a_label_stored_along_other_axes_is_put_right_and_said_so(tmp_path: Path, axcodes: str) -> None:
    case = {"image": save(tmp_path / "scan.nii"), "label": save(tmp_path / "truth.nii", axcodes=axcodes)}
    ((file, note),) = open_case(case, 1).notes
    assert (file, note.corrected) == (case["label"], True)


def test_a_modality_stored_along_other_axes_is_refused(tmp_path: Path) -> None:
    files = [save(tmp_path / "t1.nii"), save(tmp_path / "t2.nii", axcodes="LPS")]
    with pytest.raises(CaseError, match=r"t2\.nii: all files of a case must lie on one grid"):
        open_case({"image": files}, 2)


def test_a_label_of_several_channels_is_refused(tmp_path: Path) -> None:
    case = {"image": save(tmp_path / "scan.nii"), "label": save(tmp_path / "truth.nii", *SHAPE, 2)}
    with pytest.raises(CaseError, match=r"truth\.nii: a label must hold one value for each voxel; it has 2 channels"):
        open_case(case, 1)


def test_a_cube_that_was_turned_is_not_taken_as_it_lies(tmp_path: Path) -> None:
    """Equal shapes, and the affines say that the axes differ."""
    case = {"image": save(tmp_path / "scan.nii", 5, 5, 5), "label": save(tmp_path / "truth.nii", 5, 5, 5, axcodes="LPS")}
    assert [note.corrected for _, note in open_case(case, 1).notes] == [True]


def test_the_notes_of_all_files_are_kept_with_their_file(tmp_path: Path) -> None:
    files = [save(tmp_path / "0.nii", 6, 5, 1), save(tmp_path / "1.nii", 6, 5, 1)]
    notes = open_case({"image": files}, 2).notes
    assert [file for file, _ in notes] == files
    assert {note.rule for _, note in notes} == {"a volume should have several slices"}


@pytest.mark.parametrize("part", ["scan.hdr", "scan.img"])
def test_both_files_of_an_image_in_two_must_stay_as_they_are(tmp_path: Path, part: str) -> None:
    nib.save(nib.Nifti1Pair(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4)), tmp_path / "scan.hdr")
    case = open_case({"image": str(tmp_path / "scan.hdr")})
    assert case.image_files == [str(tmp_path / "scan.hdr"), str(tmp_path / "scan.img")]
    case.require_unchanged()
    (tmp_path / part).write_bytes((tmp_path / part).read_bytes() + b"\7")
    with pytest.raises(CaseError, match=rf"{part}: a file must stay as it is while it is read"):
        case.require_unchanged()


def test_the_files_of_a_case_are_all_that_it_is_read_from(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    label = save(tmp_path / "truth.nii")
    alone = open_case({"image": str(tmp_path / "series")})
    assert (alone.image_files, alone.label_files) == ([*map(str, series)], [])
    opened = open_case({"image": [label, label], "reference": label})
    assert (opened.image_files, opened.label_files) == ([label] * 2, [label])
