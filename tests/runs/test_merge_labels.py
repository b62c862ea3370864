"""Training on fewer, merged classes of the same files: masks, metrics and the next training run know these classes."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from .conftest import Command

MERGE = "{abdomen: [liver, vessel], kidney: [2]}"  # the phantoms': 1 and 3, 2


@pytest.fixture(scope="module")
def merged(bundle_run: Command, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a training run."""
    folder = tmp_path_factory.mktemp("merged") / "run"
    bundle_run("training", ["train.json"], dataset_dir=phantoms, output_dir=folder, merge_labels=MERGE, max_epochs=4)
    return folder


def test_masks_are_measured_against_the_merged_labels(
    bundle_run: Command, phantoms: Path, merged: Path, tmp_path: Path
) -> None:
    options = {"dataset_dir": phantoms, "checkpoint": merged / "model.pt", "output_dir": tmp_path / "evaluation"}
    bundle_run("evaluating", ["train.json", "evaluate.json"], merge_labels=MERGE, **options)
    with (tmp_path / "evaluation" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["abdomen", "kidney"] * 2
    for row in rows:
        label = np.asarray(nib.load(phantoms / "labels" / f"{row['case']}.nii.gz").dataobj)
        mask = np.asarray(nib.load(tmp_path / "evaluation" / "masks" / f"{row['case']}_seg.nii.gz").dataobj)
        of_files, of_masks = {"abdomen": ([1, 3], 1), "kidney": ([2], 2)}[row["class"]]
        assert int(row["voxels_reference"]) == np.isin(label, of_files).sum() > 0
        assert int(row["voxels"]) == (mask == of_masks).sum()
        assert {*np.unique(mask)} <= {0, 1, 2}
        both = ((mask == of_masks) & np.isin(label, of_files)).sum()
        dice = 2 * both / (np.isin(label, of_files).sum() + (mask == of_masks).sum())
        assert float(row["dice"]) == pytest.approx(dice, abs=1e-5)


def test_another_merge_is_another_network(bundle_run: Command, phantoms: Path, merged: Path, tmp_path: Path) -> None:
    options = {"dataset_dir": phantoms, "checkpoint": merged / "model.pt", "output_dir": tmp_path / "evaluation"}
    other = "{liver: [liver], kidney: [2]}"
    result = bundle_run("evaluating", ["train.json", "evaluate.json"], fails=True, merge_labels=other, **options)
    assert "model.pt was trained with another preset: merge_labels#abdomen was ['liver', 'vessel']" in result.stderr


def test_a_run_that_starts_from_this_network_knows_its_classes_by_name(
    bundle_run: Command, phantoms: Path, merged: Path, tmp_path: Path
) -> None:
    options = {"dataset_dir": phantoms, "init_from": merged / "model.pt", "output_dir": tmp_path / "run", "max_epochs": 1}
    result = bundle_run("training", ["train.json"], merge_labels="{liver: [1], kidney: [kidney]}", **options)
    assert "2 rows of the heads by class name (background, kidney); fresh: class liver" in result.stdout + result.stderr
