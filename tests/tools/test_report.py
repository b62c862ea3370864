"""`sam3d report`: masks of another tool, measured and shown as `evaluate` does."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from scripts.data.phantoms import LABELS

from .conftest import Shell

FILES = {"report.html", "report.json", "metrics.csv", "metrics.json", "confusion.csv", "overlays.png", ".lock"}


@pytest.fixture(scope="module")
def nnunet(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As nnU-Net has it: labelsTr, imagesTr with channels, its dataset.json, and predictions that are a little too large."""
    folder = tmp_path_factory.mktemp("nnunet")
    for name in ("labelsTr", "imagesTr", "predictions"):
        (folder / name).mkdir()
    for path in sorted((phantoms / "labels").iterdir())[:3]:
        label = nib.load(path)
        voxels = np.asanyarray(label.dataobj)
        mask = np.where(binary_dilation(voxels == 1) & (voxels == 0), 1, voxels).astype(np.uint8)
        nib.save(label, folder / "labelsTr" / path.name)
        nib.save(nib.Nifti1Image(mask, label.affine), folder / "predictions" / path.name)
        image = folder / "imagesTr" / path.name.replace(".nii.gz", "_0000.nii.gz")
        image.write_bytes((phantoms / "images" / path.name).read_bytes())
    labels = {name: int(value) for value, name in LABELS.items()}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "CT"}}))
    return folder


def test_masks_of_another_tool_are_measured_against_their_references(nnunet: Path, warm: Shell, tmp_path: Path) -> None:
    line = f"sam3d report {nnunet}/predictions {nnunet}/labelsTr --images {nnunet}/imagesTr"
    result = warm(line, cwd=tmp_path)
    assert result.stdout.splitlines()[-2:] == ["tables: report", "report: report/report.html"]
    assert {path.name for path in (tmp_path / "report").iterdir()} == FILES
    rows = list(csv.DictReader((tmp_path / "report" / "metrics.csv").read_text().splitlines()))
    assert [(row["case"], row["class"]) for row in rows[:3]] == [
        ("phantom_000", name) for name in ("liver", "kidney", "vessel")
    ]
    for row in rows:
        value = ["background", "liver", "kidney", "vessel"].index(row["class"])
        mask, reference = (
            np.asanyarray(nib.load(nnunet / folder / f"{row['case']}.nii.gz").dataobj) == value
            for folder in ("predictions", "labelsTr")
        )
        assert float(row["dice"]) == pytest.approx(2 * (mask & reference).sum() / (mask.sum() + reference.sum()), abs=1e-5)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "phantom_002" in page
    assert "data:image/jpeg" in page


def test_a_bad_case_is_refused_the_others_are_measured_and_the_exit_code_tells(
    nnunet: Path, warm: Shell, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (nnunet / "predictions").iterdir():
        (masks / path.name).write_bytes(path.read_bytes())
    moved = nib.load(masks / "phantom_001.nii.gz")
    nib.save(nib.Nifti1Image(np.asanyarray(moved.dataobj)[:-1], moved.affine), masks / "phantom_001.nii.gz")
    (masks / "phantom_002.nii.gz").write_bytes(b"damaged")
    result = warm(f"sam3d report masks {nnunet}/labelsTr --output out", cwd=tmp_path, code=1)
    assert "Traceback" not in result.stdout + result.stderr
    status = {Path(entry["file"]).name: entry["status"] for entry in json.loads((tmp_path / "out" / "report.json").read_text())}
    assert status == {"phantom_000.nii.gz": "written", "phantom_001.nii.gz": "refused", "phantom_002.nii.gz": "refused"}
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["cases"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "all files of a case must lie on one grid" in page
    assert not (tmp_path / "out" / "overlays.png").exists()  # there are no images


def test_where_nobody_names_the_values_they_are_classes(nnunet: Path, warm: Shell, tmp_path: Path) -> None:
    for name in ("predictions", "labelsTr"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for path in (nnunet / name).iterdir():
            (tmp_path / "deep" / name / path.name).write_bytes(path.read_bytes())
    warm("sam3d report predictions labelsTr", cwd=tmp_path / "deep")
    summary = json.loads((tmp_path / "deep" / "report" / "metrics.json").read_text())
    assert set(summary["classes"]) == {"label_1", "label_2", "label_3"}
    warm('sam3d report predictions labelsTr --label-names "1=liver,2=kidney,3=vessel" --output named', cwd=tmp_path / "deep")
    assert set(json.loads((tmp_path / "deep" / "named" / "metrics.json").read_text())["classes"]) == {
        "liver",
        "kidney",
        "vessel",
    }
