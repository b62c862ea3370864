"""A mask in its image's grid -> a file that lies on the image to the last bit, or an error and no file."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from scripts.data import CaseError, ReadCased, SaveMaskd

SHAPE = (7, 6, 5)


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix() @ np.diag([0.7, -1.3, 2.9])
    affine[:3, 3] = (-91.3, 126.1, -72.7)
    return affine


def source(folder: Path, voxels: np.ndarray | None = None, sform: int = 1, qform: int = 1) -> nib.Nifti1Image:
    """An image on disk, scan.nii.gz, read again."""
    voxels = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16) if voxels is None else voxels
    image = nib.Nifti1Image(voxels, oblique())
    image.set_sform(oblique(), sform)
    image.set_qform(oblique(), qform)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, folder / "scan.nii.gz")
    return nib.load(folder / "scan.nii.gz")


def case(folder: Path, labels: torch.Tensor | None = None, name: str = "scan_seg") -> dict[str, Any]:
    """What the pipeline hands to SaveMaskd for scan.nii.gz."""
    channels = 1 if nib.load(folder / "scan.nii.gz").ndim == 3 else nib.load(folder / "scan.nii.gz").shape[3]
    image = ReadCased(channels, {"0": "background", "1": "liver"})({"image": str(folder / "scan.nii.gz")})["image"]
    labels = torch.randint(0, 4, SHAPE) if labels is None else labels
    return {"image": image, "pred": MetaTensor(labels[None].float(), affine=image.affine), "name": name}


def save(folder: Path, **options: Any) -> nib.Nifti1Image:
    return nib.load(SaveMaskd(folder / "masks")(case(folder, **options))["mask"])


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 2), (0, 0)])
def test_a_mask_lies_on_its_image_to_the_last_bit(tmp_path: Path, sform: int, qform: int) -> None:
    image = source(tmp_path, sform=sform, qform=qform)
    labels = torch.randint(0, 4, SHAPE)
    mask = save(tmp_path, labels=labels)
    assert mask.shape == image.shape
    assert np.array_equal(mask.affine, image.affine)
    geometry = ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d")
    for field in (*geometry, "qoffset_x", "qoffset_y", "qoffset_z", "pixdim", "xyzt_units", "dim"):
        assert np.array_equal(mask.header[field], image.header[field]), field
    assert np.array_equal(np.asanyarray(mask.dataobj), labels.numpy())


@pytest.mark.parametrize(("largest", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (70 * 256, np.uint16)])
def test_every_label_fits_into_the_file(tmp_path: Path, largest: int, dtype: type) -> None:
    source(tmp_path)
    labels = torch.zeros(SHAPE, dtype=torch.int64)
    labels[1, 2, 3] = largest
    mask = save(tmp_path, labels=labels)
    assert mask.get_data_dtype() == dtype
    assert np.asanyarray(mask.dataobj)[1, 2, 3] == largest


def test_what_concerns_the_image_alone_is_left_out(tmp_path: Path) -> None:
    image = source(tmp_path)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, born 1970"))
    image.header["descrip"], image.header["aux_file"] = b"Jane Doe", b"/home/jane"
    image.header["cal_max"] = 500
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header), tmp_path / "scan.nii.gz")
    assert len(nib.load(tmp_path / "scan.nii.gz").header.extensions) == 1
    mask = save(tmp_path)
    assert len(mask.header.extensions) == 0
    assert b"ane" not in mask.header.binaryblock
    assert mask.header["cal_max"] == 0


def test_the_scaling_of_the_image_does_not_scale_its_mask(tmp_path: Path) -> None:
    image = source(tmp_path)
    nib.save(nib.Nifti1Image(image.get_fdata() / 3 - 1000, image.affine, image.header), tmp_path / "scan.nii.gz")
    stored = nib.load(tmp_path / "scan.nii.gz")
    assert stored.get_data_dtype() == np.int16
    assert stored.dataobj.slope != 1
    labels = torch.randint(0, 4, SHAPE)
    mask = save(tmp_path, labels=labels)
    assert (mask.dataobj.slope, mask.dataobj.inter) == (1, 0)
    assert np.array_equal(mask.get_fdata(), labels.numpy())


def test_the_mask_of_several_channels_is_one_volume(tmp_path: Path) -> None:
    image = source(tmp_path, np.random.default_rng(0).normal(size=(*SHAPE, 3)).astype(np.float32))
    mask = save(tmp_path)
    assert mask.shape == SHAPE
    assert np.array_equal(mask.affine, image.affine)


def test_nothing_stands_under_the_final_name_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(tmp_path)
    data = case(tmp_path)

    def disk_full(_: nib.Nifti1Image, path: Path) -> None:
        Path(path).write_bytes(b"half a mask")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(nib, "save", disk_full)
        with pytest.raises(OSError, match="No space left"):
            SaveMaskd(tmp_path / "masks")(data)
    assert list((tmp_path / "masks").iterdir()) == []
    whole = Path(SaveMaskd(tmp_path / "masks")(data)["mask"]).read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(nib, "save", disk_full)
        SaveMaskd(tmp_path / "masks")(data)
    assert [file.read_bytes() for file in (tmp_path / "masks").iterdir()] == [whole]  # an earlier mask stays whole


@pytest.mark.parametrize("shape", [(1, 7, 6, 4), (2, 7, 6, 5), (1, 6, 7, 5), (7, 6, 5)])
def test_a_mask_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    source(tmp_path)
    data = case(tmp_path)
    data["pred"] = MetaTensor(torch.zeros(shape), affine=data["image"].affine)
    with pytest.raises(CaseError, match="shape") as caught:
        SaveMaskd(tmp_path / "masks")(data)
    assert caught.value.file == str(tmp_path / "scan.nii.gz")
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("moved", [0.1, float("nan")])
def test_a_mask_at_another_place_is_refused(tmp_path: Path, moved: float) -> None:
    source(tmp_path)
    data = case(tmp_path)
    data["pred"].affine[0, 3] += moved
    with pytest.raises(CaseError, match="affine") as caught:
        SaveMaskd(tmp_path / "masks")(data)
    assert caught.value.file == str(tmp_path / "scan.nii.gz")
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("name", ["../scan_seg", "sub/../../scan_seg", "/tmp/scan_seg"])
def test_a_name_that_leaves_the_output_folder_is_refused(tmp_path: Path, name: str) -> None:
    source(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CaseError, match="masks stay inside"):
        save(tmp_path, name=name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mask_keeps_its_case_and_its_folder_below_the_output_folder(tmp_path: Path) -> None:
    source(tmp_path)
    data = case(tmp_path, name="sub/with space/Hüfte_seg")
    saved = SaveMaskd(tmp_path / "masks")(data)
    assert saved["mask"] == str(tmp_path / "masks" / "sub" / "with space" / "Hüfte_seg.nii.gz")
    assert {key: saved[key] for key in data} == data
