"""The presets of public datasets, on generated files in the layout of each: trained on, measured and segmented.

Folders, names of files, lists, channels, label values and the range of intensities are the dataset's. Volumes and network are
small.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.data.onboarding.write_dataset import write_dataset

from .conftest import Command, assert_lies_on_its_image

SHAPE = (30, 28, 14)
NARROW = {"spatial_size": "[32, 32]", "roi_depth": 8, "epoch_length": 2, "max_epochs": 1, "batch_size": 1}


class Layout(NamedTuple):
    """names: of cases, the last one without a label. images, labels, unlabelled: patterns of paths. listed: what its
    dataset.json says of channels and labels; where it has none, `sam3d dataset` writes it. structures: of the tables, name ->
    values in masks.
    """

    names: Sequence[str]
    images: str
    labels: str
    unlabelled: str
    values: int
    channels: int
    spacing: tuple[float, float, float]
    is_ct: bool
    listed: dict[str, dict[str, str]] | None
    structures: dict[str, list[int]]


MSD = ("imagesTr/{}.nii.gz", "labelsTr/{}.nii.gz", "imagesTs/{}.nii.gz")
TUMOUR = {"edema": 1, "non-enhancing tumor": 2, "enhancing tumour": 3}
ORGANS = {
    "spleen": 1,
    "right kidney": 2,
    "left kidney": 3,
    "gallbladder": 4,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "pancreas": 11,
}
LAYOUTS = {
    "brats": Layout(
        [f"BRATS_{number:03}" for number in (1, 2, 4, 6, 8, 485)],
        *MSD,
        *(3, 4, (1.0, 1.0, 1.0), False),
        {"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, "labels": {str(v): n for n, v in TUMOUR.items()}},
        {"whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": [3]},
    ),
    "left_atrium": Layout(
        [f"la_{number:03}" for number in (3, 4, 5, 7, 9, 1)],
        *MSD,
        *(1, 1, (1.25, 1.25, 1.37), False),
        {"modality": {"0": "MRI"}, "labels": {"1": "left atrium"}},
        {"left atrium": [1]},
    ),
    "lung": Layout(
        [f"lung_{number:03}" for number in (1, 3, 4, 5, 6, 2)],
        *MSD,
        *(1, 1, (0.79, 0.79, 1.24), True),
        {"modality": {"0": "CT"}, "labels": {"1": "cancer"}},
        {"cancer": [1]},
    ),
    "synapse": Layout(
        [f"{number:04}" for number in (1, 2, 3, 4, 5, 61)],
        *("Training/img/img{}.nii.gz", "Training/label/label{}.nii.gz", "Testing/img/img{}.nii.gz"),
        *(13, 1, (0.76, 0.76, 3.0), True),
        None,
        {name: [value] for name, value in ORGANS.items()},
    ),
}


def write(folder: Path, layout: Layout) -> dict[str, np.ndarray]:
    """Every case has all values, one behind the other. Returns the labels by the name of the image's file."""
    affine = np.diag([-layout.spacing[0], -layout.spacing[1], layout.spacing[2], 1])  # LPS, as most scanners store
    labels: dict[str, np.ndarray] = {}
    for number, name in enumerate(layout.names):
        generator = np.random.default_rng(number)
        label = np.zeros(SHAPE, np.uint8)
        for value in range(1, layout.values + 1):
            row, column = divmod(value - 1, 4)
            label[3 + 7 * row : 8 + 7 * row, 2 + 6 * column : 7 + 6 * column, 3:11] = value
        if layout.is_ct:
            image = generator.normal(40, 20, (*SHAPE, 1)) + 8 * label[..., None]
            image[:, :2], image[:, -2:] = -1024, 1200  # air and metal
            image = image.astype(np.int16)
        else:
            image = generator.normal(300, 60, (*SHAPE, layout.channels)) * (1 + label[..., None])
            image[:, :2] = 0  # as around a head whose skull was removed
            image = image.astype(np.float32)
        last = name == layout.names[-1]
        path = folder / (layout.unlabelled if last else layout.images).format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(image[..., 0] if layout.channels == 1 else image, affine), path)
        labels[path.name] = label
        if not last:
            path = folder / layout.labels.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(label, affine), path)
    if layout.listed is None:
        write_dataset(folder)
    else:
        cases = [{"image": f"./{MSD[0]}".format(name), "label": f"./{MSD[1]}".format(name)} for name in layout.names[:-1]]
        named = {**layout.listed, "labels": {"0": "background", **layout.listed["labels"]}, "tensorImageSize": "3D"}
        lists = {**named, "training": cases, "test": [f"./{MSD[2]}".format(layout.names[-1])]}
        (folder / "dataset.json").write_text(json.dumps(lists))
    return labels


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_preset_fits_the_files_of_its_dataset(bundle_run: Command, tmp_path: Path, name: str) -> None:
    layout, data, trained = LAYOUTS[name], tmp_path / "data", tmp_path / "run"
    labels = write(data, layout)
    preset = [ROOT / "configs" / "datasets" / f"{name}.yaml"]  # after the narrow overlay, which is for phantoms
    bundle_run("training", ["train.json"], last=preset, dataset_dir=data, output_dir=trained, **NARROW)

    options = {"checkpoint": trained / "model.pt", **{key: NARROW[key] for key in ("spatial_size", "roi_depth")}}
    evaluated = tmp_path / "evaluation"
    files = ["train.json", "evaluate.json"]
    bundle_run("evaluating", files, last=preset, dataset_dir=data, output_dir=evaluated, **options)
    with (evaluated / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [*layout.structures]  # of the one case that is held out
    for row in rows:
        label = labels[f"{row['case']}.nii.gz"]
        assert int(row["voxels_reference"]) == np.isin(label, layout.structures[row["class"]]).sum() > 0

    masks = tmp_path / "masks"
    bundle_run("inference", ["inference.json"], last=preset, input=data / "dataset.json", output_dir=masks, **options)
    (entry,) = json.loads((masks / "report.json").read_text())
    assert_lies_on_its_image(entry)
    assert {*np.unique(nib.load(entry["mask"]).dataobj).tolist()} <= {0}.union(*layout.structures.values())


def test_every_preset_of_a_public_dataset_is_run() -> None:
    """Those of real data beside it: `test_demo.py`."""
    presets = {path.stem for path in (ROOT / "configs" / "datasets").glob("*.yaml")}
    assert presets == {*LAYOUTS, "acdc", "custom", "hippocampus", "phantoms"}
    for name in LAYOUTS:
        preset = ConfigParser.load_config_file(str(ROOT / "configs" / "datasets" / f"{name}.yaml"))
        assert preset["modalities"] == LAYOUTS[name].channels
        assert len(preset["labels"]) == LAYOUTS[name].values + 1
