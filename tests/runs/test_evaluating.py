"""`run evaluating`: metrics in the file's own space, equal to those computed from the files."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from .conftest import Command


@pytest.fixture(scope="module")
def evaluation(bundle_run: Command, phantoms: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    bundle_run(
        "evaluating",
        ["train.json", "evaluate.json"],
        as_a_user=True,
        dataset_dir=phantoms,
        part="test",
        output_dir=folder,
        checkpoint=trained / "model.pt",
    )
    return folder


def test_the_reported_dice_is_that_of_the_written_masks_and_the_original_labels(evaluation: Path, phantoms: Path) -> None:
    rows = list(csv.DictReader((evaluation / "metrics.csv").read_text().splitlines()))
    assert {row["case"] for row in rows} == {"phantom_006_seg", "phantom_007_seg"}
    for row in rows:
        value = ["background", "liver", "kidney", "vessel"].index(row["class"])
        mask = np.asanyarray(nib.load(evaluation / "masks" / f"{row['case']}.nii.gz").dataobj) == value
        label = phantoms / "labels" / f"{row['case'].removesuffix('_seg')}.nii.gz"
        reference = np.asanyarray(nib.load(label).dataobj) == value
        assert int(row["voxels"]) == mask.sum()
        assert int(row["voxels_reference"]) == reference.sum()
        expected = 2 * (mask & reference).sum() / (mask.sum() + reference.sum())
        assert float(row["dice"]) == pytest.approx(expected, abs=1e-4)


def test_a_summary_a_report_and_a_picture_are_written(evaluation: Path) -> None:
    summary = json.loads((evaluation / "metrics.json").read_text())
    assert summary["cases"] == 2
    assert set(summary["classes"]) == {"liver", "kidney", "vessel"}
    assert len(json.loads((evaluation / "report.json").read_text())) == 2
    assert (evaluation / "overlays.png").read_bytes().startswith(b"\x89PNG")
