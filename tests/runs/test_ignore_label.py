"""Volumes of which every fourth slice is labelled: trained on, validated and measured on these slices alone."""

import csv
import json
import math
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scripts.data.phantoms import LABELS

from .conftest import Command


@pytest.fixture(scope="module")
def sparse(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms, whose dataset.json is nnU-Net's in its labels."""
    folder = shutil.copytree(phantoms, tmp_path_factory.mktemp("sparse") / "data")
    for path in sorted((folder / "labels").iterdir()):
        stored = nib.load(path)
        voxels = np.asarray(stored.dataobj).copy()
        slices = np.moveaxis(voxels, next(i for i, code in enumerate(nib.aff2axcodes(stored.affine)) if code in "SI"), -1)
        for number in range(slices.shape[-1]):
            if number % 4 != 2:
                slices[..., number] = 255
        nib.save(nib.Nifti1Image(voxels, stored.affine), path)
    content = json.loads((folder / "dataset.json").read_text())
    content["labels"] = {**{name: int(value) for value, name in LABELS.items()}, "ignore": 255}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("overlays", [[], ["overlays/cached.yaml"], ["networks/detail.yaml", "overlays/cached.yaml"]])
def test_sparse_labels_train_and_are_measured_where_they_are(
    bundle_run: Command, sparse: Path, tmp_path: Path, overlays: list[str]
) -> None:
    options = {"dataset_dir": sparse, "ignore_label": "[255]"}
    bundle_run("training", ["train.json", *overlays], output_dir=tmp_path / "run", max_epochs=8, val_interval=8, **options)
    curves = EventAccumulator(str(tmp_path / "run" / "events")).Reload()
    losses = [event.value for event in curves.Scalars("train_loss")]
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]
    assert 0 <= curves.Scalars("val_mean_dice")[-1].value <= 1
    if overlays:
        return
    found = tmp_path / "evaluation"
    checkpoint = tmp_path / "run" / "model.pt"
    bundle_run("evaluating", ["train.json", "evaluate.json"], checkpoint=checkpoint, output_dir=found, **options)
    with (found / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3
    values = {name: int(value) for value, name in LABELS.items()}
    for row in rows:
        label = np.asarray(nib.load(sparse / "labels" / f"{row['case']}.nii.gz").dataobj)
        mask = np.asarray(nib.load(found / "masks" / f"{row['case']}_seg.nii.gz").dataobj)
        value = values[row["class"]]
        assert int(row["voxels_reference"]) == (label == value).sum() > 0
        assert int(row["voxels"]) == ((mask == value) & (label != 255)).sum()


def test_a_value_that_the_preset_does_not_ignore_is_refused_before_the_first_step(
    bundle_run: Command, sparse: Path, tmp_path: Path
) -> None:
    result = bundle_run("training", ["train.json"], fails=True, dataset_dir=sparse, output_dir=tmp_path / "run")
    assert "write ignore_label: [255] into the preset" in result.stderr
