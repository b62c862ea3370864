"""Files are read as NIfTI or refused by name, whatever is in them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.data import CaseError, ReadImaged

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def save(path: Path, voxels: np.ndarray = VOXELS) -> str:
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return str(path)


def test_a_volume_is_read_with_its_affine(tmp_path: Path) -> None:
    image = ReadImaged("image")({"image": save(tmp_path / "a.nii.gz")})["image"]
    np.testing.assert_array_equal(image.numpy(), VOXELS)
    np.testing.assert_array_equal(image.affine.numpy(), np.diag([1.0, 2.0, 3.0, 1.0]))


def test_a_file_for_each_modality_becomes_channels(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{i}.nii", VOXELS + i) for i in range(2)]
    assert ReadImaged("image")({"image": files})["image"].shape == (2, 3, 4, 5)


def spoiled(path: Path, kind: str) -> Path:
    whole = Path(save(path.with_name("whole.nii.gz"))).read_bytes()
    contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"not an image", "flipped": whole[:-6] + b"\0" * 6}
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "flipped"])
def test_a_damaged_file_is_refused_by_name_in_one_line(tmp_path: Path, kind: str) -> None:
    path = spoiled(tmp_path / "bad.nii.gz", kind)
    with pytest.raises(CaseError, match=r"bad\.nii\.gz") as error:
        ReadImaged("image")({"image": str(path)})
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "voxels",
    [np.ones((3, 4, 5), np.complex64), np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])],
    ids=["complex", "RGB"],
)
def test_voxels_that_are_no_single_number_are_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    with pytest.raises(CaseError, match=r"odd\.nii.*one real number"):
        ReadImaged("image")({"image": save(tmp_path / "odd.nii", voxels)})


def test_other_formats_are_not_tried(tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", VOXELS)
    with pytest.raises(CaseError, match="NIfTI"):
        ReadImaged("image")({"image": str(tmp_path / "volume.npy")})


def test_two_placements_in_one_header_are_warned_of_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = nib.Nifti1Image(VOXELS, np.eye(4))
    for shift, warned in ((0.0, False), (5.0, True)):
        moved = np.eye(4)
        moved[0, 3] = shift
        image.set_sform(np.eye(4), 1)
        image.set_qform(moved, 1)
        nib.save(image, tmp_path / "twofold.nii")
        with caplog.at_level("WARNING"):
            ReadImaged("image")({"image": str(tmp_path / "twofold.nii")})
        assert ("twofold.nii: its sform and qform differ by up to 5" in caplog.text) == warned
