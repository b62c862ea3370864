"""A path -> the image there, whatever its format; what cannot be one is refused by name before a voxel is read."""

import os
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantom import AXIAL, OBLIQUE, write_series
from dicom_phantom import VOXELS as SLICES
from raw_nifti import VOXELS, write_nifti
from scipy.spatial.transform import Rotation

from scripts.data import CaseError, open_image

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix() * (0.7, 1.3, 2.9)
AFFINE[:3, 3] = (-91.3, 126.1, -72.7)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha", "SCAN.NII.GZ"])
def test_the_same_image_in_every_format_has_the_same_voxels_at_the_same_place(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.lower().endswith((".nii", ".nii.gz")):
        write_nifti(tmp_path / name.lower(), affine=AFFINE)
        (tmp_path / name.lower()).rename(path)
    else:
        sitk.WriteImage(sitk.ReadImage(write_nifti(tmp_path / "source.nii", affine=AFFINE)), str(path))
    image = open_image(str(path))
    np.testing.assert_array_equal(image.read()[0], VOXELS)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("across", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("by_file", [False, True], ids=["the folder", "one of its files"])
def test_a_dicom_series_is_that_which_simpleitk_writes_as_nifti(tmp_path: Path, across: np.ndarray, by_file: bool) -> None:
    files = write_series(tmp_path / "series", across=across)
    image = open_image(str(files[2] if by_file else files[2].parent))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    sitk.WriteImage(reader.Execute(), str(tmp_path / "expected.nii"))
    expected = nib.load(tmp_path / "expected.nii")
    np.testing.assert_array_equal(image.read()[0], expected.get_fdata())
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-4)
    assert image.shape == SLICES.shape
    assert set(image.files) == {str(file) for file in files}


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha", "series"])
def test_an_opened_image_can_be_handed_to_another_process(tmp_path: Path, name: str) -> None:
    if name == "series":
        write_series(tmp_path / name)
    else:
        sitk.WriteImage(sitk.ReadImage(write_nifti(tmp_path / "source.nii", affine=AFFINE)), str(tmp_path / name))
    image = open_image(str(tmp_path / name))
    again = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(again.read(), image.read())
    np.testing.assert_array_equal(again.affine, image.affine)
    for field in ("path", "shape", "channels", "dtype", "notes", "files", "series"):
        assert getattr(again, field) == getattr(image, field)


def test_images_of_other_formats_are_of_no_series(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    assert open_image(str(tmp_path / "series")).series
    assert open_image(write_nifti(tmp_path / "scan.nii")).series is None


@pytest.mark.parametrize(
    ("edges", "accepted"),
    [((1, 1, 0.004), False), ((0.006, 1, 1), True), ((1, 1, 99), True), ((1, 101, 1), False), ((1e-9, 1e-9, 1e-9), False)],
)
def test_a_voxel_of_no_medical_image_is_refused_with_its_size(tmp_path: Path, edges: tuple[float, ...], accepted: bool) -> None:
    path = write_nifti(tmp_path / "scan.nii", affine=np.diag([*edges, 1.0]))
    if accepted:
        assert open_image(path).shape == VOXELS.shape
        return
    with pytest.raises(CaseError, match=r"must measure 0\.005 to 100 mm") as caught:
        open_image(path)
    assert caught.value.found == f"its edges have {', '.join(f'{edge:.4g}' for edge in edges)} mm"


def test_metres_are_not_taken_for_absurd_voxels(tmp_path: Path) -> None:
    def in_metres(header: nib.Nifti1Header) -> None:
        header.set_xyzt_units("meter")

    path = write_nifti(tmp_path / "scan.nii", affine=np.diag([0.001, 0.002, 0.003, 1]), edit=in_metres)
    np.testing.assert_allclose(np.diag(open_image(path).affine), [1, 2, 3, 1], rtol=1e-6)


def test_a_volume_larger_than_memory_is_refused_by_its_header(tmp_path: Path) -> None:
    """A small compressed file whose header announces 27 TB."""

    def huge(header: nib.Nifti1Header) -> None:
        header["dim"][:5] = [4, 30000, 30000, 30000, 1]

    path = write_nifti(tmp_path / "huge.nii.gz", edit=huge)
    with pytest.raises(CaseError, match=r"huge\.nii\.gz: a volume must fit into memory; 30000 x 30000 x 30000 voxels need"):
        open_image(path)


@pytest.mark.parametrize("content", [b"dim: 30000", b""])
def test_an_nrrd_larger_than_its_file_or_memory_is_refused_by_its_header(tmp_path: Path, content: bytes) -> None:
    encoding = b"gzip" if content else b"raw"
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30000 30000 30000\nspacings: 1 1 1\nendian: little\nencoding: "
    (tmp_path / "huge.nrrd").write_bytes(header + encoding + b"\n\n" + content)
    with pytest.raises(CaseError, match=r"huge\.nrrd: (a volume must fit into memory|the file must be whole)"):
        open_image(str(tmp_path / "huge.nrrd"))


@pytest.mark.parametrize("name", ["empty.nii", "empty.nii.gz", "empty.nrrd", "empty.mha", "empty.dcm", "empty"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(CaseError, match=f"{name}: the file must be whole; it is empty"):
        open_image(str(tmp_path / name))


@pytest.mark.parametrize("name", ["lost.nii.gz", "lost.mha", "lost"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaseError, match=f"{name}: an image must be a file or a DICOM folder; there is none"):
        open_image(str(tmp_path / name))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nrrd", "scan.dcm"])
def test_what_would_never_end_is_not_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(CaseError, match="an image must be a file"):
        open_image(str(tmp_path / name))
    (tmp_path / f"endless.{name}").symlink_to("/dev/zero")
    with pytest.raises(CaseError, match="an image must be a file"):
        open_image(str(tmp_path / f"endless.{name}"))


@pytest.mark.parametrize("name", ["folder", "folder.nii"])
def test_a_folder_without_dicom_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    write_nifti(tmp_path / name / "scan.nii")
    with pytest.raises(CaseError, match="must hold DICOM images") as caught:
        open_image(str(tmp_path / name))
    assert caught.value.file == str(tmp_path / name)


@pytest.mark.parametrize("name", ["volume.npy", "volume.img", "volume.txt", "volume"])
def test_other_formats_are_not_tried(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        np.save(file, VOXELS)
    with pytest.raises(CaseError, match=r"must be NIfTI, NRRD, MetaImage or DICOM; .*save it as one of these"):
        open_image(str(tmp_path / name))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, name: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("to root every file is readable")
    (tmp_path / name).write_bytes(b"content")
    (tmp_path / name).chmod(0)
    with pytest.raises(CaseError, match=r"Permission denied"):
        open_image(str(tmp_path / name))


@pytest.mark.parametrize(("degrees", "noted"), [(0.0, False), (0.05, False), (0.2, True), (15.0, True)])
def test_the_grid_has_right_angles_and_a_noticeable_shear_is_said(tmp_path: Path, degrees: float, noted: bool) -> None:
    sheared = np.diag([1.0, 1.0, 2.0, 1.0])
    sheared[:2, 1] = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))

    def sform_alone(header: nib.Nifti1Header) -> None:
        header["qform_code"] = 0

    image = open_image(write_nifti(tmp_path / "scan.nii", affine=sheared, edit=sform_alone))
    directions = image.affine[:3, :3] / (1, 1, 2)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=2e-5)
    assert [note.rule for note in image.notes] == ["the axes should be at right angles"] * noted
    assert all(f"{degrees:.2g} degrees" in note.found for note in image.notes)
