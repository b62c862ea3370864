"""`run inference`: masks that lie on their images, and a report of every file."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_frames_phantom import write_in_two_files
from dicom_phantom import write_series

from .conftest import Command, assert_lies_on_its_image


def read_report(folder: Path) -> list[dict]:
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def masks(bundle_run: Command, phantoms: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks of all phantoms, made from another folder than the bundle's."""
    folder = tmp_path_factory.mktemp("masks")
    bundle_run(
        "inference",
        ["inference.json"],
        as_a_user=True,
        cwd=folder,
        input=phantoms / "images",
        output_dir=folder / "out",
        checkpoint=trained / "model.pt",
    )
    return folder / "out"


def test_every_image_gets_a_mask_on_its_own_grid(masks: Path, phantoms: Path) -> None:
    entries = read_report(masks)
    assert [Path(entry["file"]).name for entry in entries] == sorted(path.name for path in (phantoms / "images").iterdir())
    for entry in entries:
        assert_lies_on_its_image(entry)
        assert nib.load(entry["mask"]).get_data_dtype() == np.uint8


def test_a_file_and_a_dataset_json_give_the_masks_of_the_folder(
    bundle_run: Command, phantoms: Path, trained: Path, masks: Path, tmp_path: Path
) -> None:
    for source in (phantoms / "dataset.json", phantoms / "images" / "phantom_006.nii.gz"):
        folder = tmp_path / source.stem
        bundle_run("inference", ["inference.json"], input=source, output_dir=folder, checkpoint=trained / "model.pt")
        for entry in read_report(folder):
            mask, expected = (nib.load(path / Path(entry["mask"]).name) for path in (folder, masks))
            np.testing.assert_array_equal(np.asanyarray(mask.dataobj), np.asanyarray(expected.dataobj))


def test_a_bad_file_costs_only_itself_and_the_exit_code(
    bundle_run: Command, phantoms: Path, trained: Path, masks: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    whole = (phantoms / "images" / "phantom_001.nii.gz").read_bytes()
    (images / "a_truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (images / "b_empty.nii.gz").write_bytes(b"")
    (images / "c_good.nii.gz").write_bytes(whole)
    nib.save(nib.Nifti1Image(np.full((8, 8, 4), np.nan, np.float32), np.eye(4)), images / "d_nan.nii.gz")
    result = bundle_run(
        "inference", ["inference.json"], fails=True, input=images, output_dir=tmp_path / "out", checkpoint=trained / "model.pt"
    )
    statuses = {Path(entry["file"]).name: entry["status"] for entry in read_report(tmp_path / "out")}
    assert statuses == {
        "a_truncated.nii.gz": "refused",
        "b_empty.nii.gz": "refused",
        "c_good.nii.gz": "written",
        "d_nan.nii.gz": "refused",
    }
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["c_good_seg.nii.gz"]
    for name, status in statuses.items():
        assert (name in result.stdout) == (status == "refused")
    good = nib.load(tmp_path / "out" / "c_good_seg.nii.gz")
    np.testing.assert_array_equal(
        np.asanyarray(good.dataobj), np.asanyarray(nib.load(masks / "phantom_001_seg.nii.gz").dataobj)
    )


def test_a_checkpoint_of_another_encoder_is_refused(bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path) -> None:
    result = bundle_run(
        "inference",
        ["inference.json"],
        fails=True,
        input=phantoms / "images",
        output_dir=tmp_path,
        checkpoint=trained / "model.pt",
        encoder_seed=1,
    )
    assert "sha256" in result.stderr
    assert not list(tmp_path.glob("*.nii.gz"))


def test_windows_and_the_whole_volume_are_two_masks_on_one_grid(
    bundle_run: Command, phantoms: Path, trained: Path, masks: Path, tmp_path: Path
) -> None:
    options = {"input": phantoms / "dataset.json", "checkpoint": trained / "model.pt", "inferer#mode": "whole"}
    bundle_run("inference", ["inference.json"], output_dir=tmp_path / "whole", **options)
    bundle_run("inference", ["inference.json"], output_dir=tmp_path / "streamed", **options, **{"inferer#memory": 0})
    different = 0
    for entry in read_report(tmp_path / "whole"):
        assert_lies_on_its_image(entry)
        folders = (tmp_path / "whole", tmp_path / "streamed", masks)
        files = (folder / Path(entry["mask"]).name for folder in folders)
        whole, streamed, windows = (np.asanyarray(nib.load(file).dataobj) for file in files)
        np.testing.assert_array_equal(streamed, whole)
        different += int((whole != windows).sum())
    assert different


def test_where_no_usable_image_is_left_the_run_ends_in_words(bundle_run: Command, trained: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "image.nii.gz").write_bytes(b"cut")
    options = {"input": tmp_path / "in", "output_dir": tmp_path / "out", "checkpoint": trained / "model.pt"}
    result = bundle_run("inference", ["inference.json"], fails=True, **options)
    assert "2 refused" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    entries = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [entry["status"] for entry in entries] == ["refused"] * 2


def test_a_mask_stays_where_its_dicom_segmentation_cannot_be_written(
    bundle_run: Command, trained: Path, tmp_path: Path
) -> None:
    write_series(tmp_path / "in" / "series")
    (tmp_path / "in" / "frames").mkdir()
    frames = write_in_two_files(tmp_path / "in" / "frames" / "a.dcm").parent
    options = {"input": tmp_path / "in", "checkpoint": trained / "model.pt", "output_dir": tmp_path / "out"}
    for _ in range(2):  # the second time beside what the first one wrote
        result = bundle_run("inference", ["inference.json", "overlays/dicom_seg.yaml"], fails=True, **options)
        entries = {Path(entry["file"]).name: entry for entry in read_report(tmp_path / "out")}
        assert {name: entry["status"] for name, entry in entries.items()} == {"series": "written", "frames": "written"}
        assert entries["series"]["rule"] is None
        assert entries["frames"]["rule"] == "a DICOM segmentation must fit its series"
        assert entries["frames"]["reason"].endswith("; use the NIfTI mask")
        assert f"written {frames}: a DICOM segmentation must fit its series" in result.stdout + result.stderr
        assert nib.load(entries["frames"]["mask"]).shape == nib.load(entries["series"]["mask"]).shape
        assert [path.name for path in (tmp_path / "out").rglob("*.dcm")] == ["series_seg.dcm"]
