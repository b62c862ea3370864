"""A mask lies on its image to 1e-3 mm by the programs that people open both in, however the file stores it, or is refused."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dicom_frames_phantom import write_enhanced
from dicom_phantom import write_series
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from scripts.data import CaseError, ReadCased, SaveMaskd

SHAPE, LABELS = (7, 6, 5), {"0": "background", "1": "liver"}
VOXELS = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
TURN = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix()
EDGES = np.diag([0.7, 1.3, 2.9])
TO_RAS = np.array([-1, -1, 1])
AXES = {  # the columns are the steps from voxel to voxel in mm, RAS+
    "straight": EDGES,
    "oblique": TURN @ EDGES,
    "left_handed": TURN @ EDGES @ np.diag([1, -1, 1]),
    "mirrored": EDGES @ np.diag([-1, -1, -1]),
    "permuted": (TURN @ EDGES)[:, [2, 0, 1]],
    "permuted_and_left_handed": EDGES[:, [1, 0, 2]],
    "rounded_to_six_digits": np.round(TURN, 6) @ EDGES,
}
SHEARED = {
    "by_19_degrees": np.array([[1, 0.35, 0], [0, 1, 0], [0, 0, 1.25]]),
    "obliquely": TURN @ np.array([[1, 0, 0.2], [0, 1, 0], [0, 0, 2]]),
    "and_left_handed": np.array([[-1, 0, 0], [0, 1, 0.5], [0, 0, 2]]),
    "by_a_tenth_of_a_degree": np.array([[1, 0.00175, 0], [0, 1, 0], [0, 0, 1.25]]),
    "by_a_hundredth_of_a_degree": TURN @ np.array([[1, 0.000175, 0], [0, 1, 0], [0, 0, 1.25]]),
}
NIFTI = (".nii.gz", ".hdr")
ORIGIN = np.array([-91.3, 126.1, -372.7])


def affine_of(axes: np.ndarray) -> np.ndarray:
    return np.block([[axes, ORIGIN[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])


def nifti(sform: int, qform: int) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, axes: np.ndarray) -> str:
        image = nib.Nifti1Image(VOXELS, affine_of(axes))
        image.set_sform(affine_of(axes), sform)
        image.set_qform(affine_of(axes), qform)
        nib.save(image, folder / "scan.nii.gz")
        return str(folder / "scan.nii.gz")

    return write


def nrrd(folder: Path, axes: np.ndarray) -> str:
    vectors = " ".join(f"({','.join(f'{x:.17g}' for x in column)})" for column in axes.T)
    lines = ["NRRD0004", "type: short", "dimension: 3", "space: right-anterior-superior", "sizes: 7 6 5", "encoding: raw"]
    lines += [f"space directions: {vectors}", f"space origin: ({','.join(map(str, ORIGIN))})", "endian: little", "", ""]
    (folder / "scan.nrrd").write_bytes("\n".join(lines).encode() + VOXELS.T.tobytes())
    return str(folder / "scan.nrrd")


def mha(folder: Path, axes: np.ndarray) -> str:
    edges = np.linalg.norm(axes, axis=0)
    matrix = " ".join(f"{x:.17g}" for x in ((axes / edges).T * TO_RAS).flatten())
    fields = {"ObjectType": "Image", "NDims": 3, "BinaryData": True, "BinaryDataByteOrderMSB": False}
    fields |= {"TransformMatrix": matrix, "Offset": " ".join(map(str, ORIGIN * TO_RAS)), "DimSize": "7 6 5"}
    fields |= {"ElementSpacing": " ".join(map(repr, edges.tolist())), "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL"}
    header = "".join(f"{key} = {value}\n" for key, value in fields.items())
    (folder / "scan.mha").write_bytes(header.encode() + VOXELS.T.tobytes())
    return str(folder / "scan.mha")


def pair(version: type[nib.Nifti1Pair], sform: int, qform: int) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, axes: np.ndarray) -> str:
        image = version(VOXELS, affine_of(axes))
        image.set_sform(affine_of(axes), sform)
        image.set_qform(affine_of(axes), qform)
        nib.save(image, folder / "scan.hdr")
        return str(folder / "scan.hdr")

    return write


def in_two_files(write: Callable[[Path, np.ndarray], str], word: str) -> Callable[[Path, np.ndarray], str]:
    """word: what comes before the name of the file of the voxels."""

    def split(folder: Path, axes: np.ndarray) -> str:
        whole = Path(write(folder, axes))
        content, header = whole.read_bytes(), folder / ("scan.nhdr" if whole.suffix == ".nrrd" else "scan.mhd")
        header.write_text(
            content[: -VOXELS.nbytes].decode().replace("ElementDataFile = LOCAL\n", "").rstrip() + f"\n{word} scan.raw\n"
        )
        (folder / "scan.raw").write_bytes(content[-VOXELS.nbytes :])
        whole.unlink()
        return str(header)

    return split


FORMATS = {
    **{"NIfTI": nifti(1, 1), "NIfTI, sform": nifti(1, 0), "NIfTI, qform": nifti(0, 1), "NRRD": nrrd, "MHA": mha},
    **{"NIfTI pair": pair(nib.Nifti1Pair, 1, 1), "NIfTI pair, qform": pair(nib.Nifti1Pair, 0, 1)},
    **{"NHDR": in_two_files(nrrd, "data file:"), "MHD": in_two_files(mha, "ElementDataFile =")},
}


def mask_of(file: str, folder: Path) -> nib.Nifti1Image:
    """Through the reading and writing of the bundle; its voxels are those of the image."""
    case = ReadCased(1, LABELS)({"image": file})
    labels = MetaTensor(case["image"].as_tensor().clone() + 3000, affine=case["image"].affine)
    return nib.load(SaveMaskd(folder / "masks")({**case, "pred": labels, "name": "scan_seg"})["mask"])


def places_by_itk(file: str | sitk.Image) -> np.ndarray:
    image = sitk.ReadImage(file) if isinstance(file, str) else file
    corners = np.array(np.meshgrid(*([0, n - 1] for n in image.GetSize()))).reshape(3, -1).T.tolist()
    return np.array([image.TransformIndexToPhysicalPoint([int(i) for i in corner]) for corner in corners]) * TO_RAS


def places_by_nibabel(image: nib.Nifti1Image) -> np.ndarray:
    corners = np.array(np.meshgrid(*([0, n - 1] for n in image.shape))).reshape(3, -1).T
    return nib.affines.apply_affine(image.affine, corners)


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_a_mask_lies_on_its_file_by_nibabel_and_by_itk(
    tmp_path: Path, write: Callable[[Path, np.ndarray], str], axes: np.ndarray
) -> None:
    file = write(tmp_path, axes)
    mask = mask_of(file, tmp_path)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), VOXELS + 3000)
    if file.endswith(NIFTI):
        np.testing.assert_array_equal(mask.affine, nib.load(file).affine)
    np.testing.assert_allclose(places_by_itk(mask.get_filename()), places_by_itk(file), atol=1e-3, rtol=0)
    np.testing.assert_allclose(places_by_nibabel(mask), places_by_itk(file), atol=1e-3, rtol=0)


@pytest.mark.parametrize("axes", SHEARED.values(), ids=SHEARED)
@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_a_mask_on_sheared_storage_lies_on_its_file_or_is_refused(
    tmp_path: Path, write: Callable[[Path, np.ndarray], str], axes: np.ndarray
) -> None:
    file = write(tmp_path, axes)
    if file.endswith(NIFTI):
        mask = mask_of(file, tmp_path)
        np.testing.assert_array_equal(mask.affine, nib.load(file).affine)
        for field in ("sform_code", "qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "pixdim"):
            assert np.array_equal(mask.header[field], nib.load(file).header[field]), field
        np.testing.assert_array_equal(np.asanyarray(mask.dataobj), VOXELS + 3000)
        return
    with pytest.raises(CaseError, match=r"the axes must be at right angles; they deviate by .*convert it to NIfTI"):
        mask_of(file, tmp_path)


@pytest.mark.parametrize(
    "across", [AXES["straight"], TURN, -TURN, np.round(TURN, 4)], ids=["axial", "oblique", "turned", "4 digits"]
)
@pytest.mark.parametrize("by_frames", [False, True], ids=["a file for each slice", "frames of one file"])
def test_a_mask_lies_on_its_dicom_series_by_itk(tmp_path: Path, across: np.ndarray, by_frames: bool) -> None:
    across = (across / np.linalg.norm(across, axis=0))[:, :2].T
    (tmp_path / "series").mkdir()
    if by_frames:
        expected = sitk.ReadImage(str(write_enhanced(tmp_path / "series" / "frames.dcm", across=across)), imageIO="GDCMImageIO")
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([str(file) for file in write_series(tmp_path / "series", across=across)])
        expected = reader.Execute()
    mask = mask_of(str(tmp_path / "series"), tmp_path)
    np.testing.assert_allclose(places_by_nibabel(mask), places_by_itk(expected), atol=1e-3, rtol=0)
    np.testing.assert_allclose(places_by_itk(mask.get_filename()), places_by_itk(expected), atol=1e-3, rtol=0)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), sitk.GetArrayFromImage(expected).T + 3000)


def test_the_mask_of_a_nifti_2_pair_is_nifti_2_in_one_file_with_its_header(tmp_path: Path) -> None:
    """Which ITK does not read, as it does not read the pair."""
    file = pair(nib.Nifti2Pair, 4, 1)(tmp_path, AXES["oblique"])
    mask, image = mask_of(file, tmp_path), nib.load(file)
    assert isinstance(mask, nib.Nifti2Image)
    np.testing.assert_array_equal(mask.affine, image.affine)
    for field in ("sform_code", "qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "pixdim"):
        assert np.array_equal(mask.header[field], image.header[field]), field


@pytest.mark.parametrize("name", ["scan.nii", "scan.hdr", "scan.mha", "scan.mhd", "series"])
def test_a_file_that_moved_since_it_was_read_gets_no_mask(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check compares with the file, not with what was remembered of it."""

    def write(moved: float) -> None:
        image = nib.Nifti1Image(VOXELS, affine_of(EDGES))
        image.affine[0, 3] += moved
        if name == "series":
            write_series(
                tmp_path / name,
                VOXELS,
                edit=lambda dataset, k: setattr(dataset, "ImagePositionPatient", [moved, 0, 2.5 * k]),
            )
        elif name.endswith(("nii", "hdr")):
            nib.save((nib.Nifti1Image if name.endswith("nii") else nib.Nifti1Pair)(VOXELS, image.affine), tmp_path / name)
        else:
            other = sitk.GetImageFromArray(VOXELS.T)
            other.SetOrigin((moved, 0.0, 0.0))
            sitk.WriteImage(other, str(tmp_path / name))

    write(0)
    case = ReadCased(1, LABELS)({"image": str(tmp_path / name)})
    write(0.02)
    pred = MetaTensor(torch.zeros(case["image"].shape), affine=case["image"].affine)
    with pytest.raises(CaseError, match="must stay as it is"):
        SaveMaskd(tmp_path / "masks")({**case, "pred": pred, "name": "scan_seg"})
    assert list((tmp_path / "masks").glob("*")) == []
