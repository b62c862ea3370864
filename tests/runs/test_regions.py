"""Regions that overlap: trained, evaluated, and written into masks as label values."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .conftest import Command

PRESET = """regions: {organs: [1, 2, 3], tubes and kidney: [2, 3], tubes: [3]}
region_values: [1, 2, 3]
ignore_label: [255]
class_weights: [1, 1, 2]
"""
REGIONS = {"organs": [1, 2, 3], "tubes and kidney": [2, 3], "tubes": [3]}
NETWORK = ["networks/detail.yaml", "overlays/no_encoder.yaml"]


def test_regions_are_learnt_measured_and_written_as_labels(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    preset = tmp_path / "regions.yaml"
    preset.write_text(PRESET)
    options = {"dataset_dir": phantoms, "detail_channels": "[8, 8, 8, 8]"}
    folder, found, masks = (tmp_path / name for name in ("run", "found", "masks"))
    training = {**options, "output_dir": folder, "max_epochs": 14, "val_interval": 14, "learning_rate": 0.01}
    bundle_run("training", ["train.json", *NETWORK, "overlays/cached.yaml"], last=[preset], **training)
    names = {f"val_dice/{name}" for name in REGIONS}
    assert names <= {*EventAccumulator(str(folder / "events")).Reload().Tags()["scalars"]}
    options["checkpoint"] = folder / "model.pt"
    bundle_run("evaluating", ["train.json", "evaluate.json", *NETWORK], last=[preset], output_dir=found, **options)
    with (found / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [*REGIONS] * 2
    assert [row["dice"] for row in rows if float(row["dice"]) < 0.3] == []
    for row in rows:
        name = f"{row['case']}.nii.gz"
        mask, label = (
            np.asarray(nib.load(file).dataobj)
            for file in (found / "masks" / f"{row['case']}_seg.nii.gz", phantoms / "labels" / name)
        )
        mask, label = (np.isin(volume, REGIONS[row["class"]]) for volume in (mask, label))
        assert float(row["dice"]) == pytest.approx(2 * (mask & label).sum() / (mask.sum() + label.sum()), rel=1e-4)
    del options["dataset_dir"]
    bundle_run("inference", ["inference.json", *NETWORK], last=[preset], input=phantoms / "images", output_dir=masks, **options)
    for mask in found.glob("masks/*.nii.gz"):
        voxels = np.asarray(nib.load(mask).dataobj)
        assert set(np.unique(voxels)) == {0, 1, 2, 3}
        np.testing.assert_array_equal(voxels, np.asarray(nib.load(masks / mask.name).dataobj))
