"""models/hippocampus.pt: the file that its card describes, and masks from a fresh clone without a download."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from conftest import ROOT, SHARED

from scripts.files.checkpoint_file import read_about
from scripts.files.file_digest import file_digest

MODEL = ROOT / "models" / "hippocampus.pt"
CARD = (ROOT / "models" / "README.md").read_text()


def sam3d(*words: object) -> None:
    result = subprocess.run([sys.executable, "-m", "scripts", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def test_it_is_the_file_of_its_card_and_small() -> None:
    assert file_digest(MODEL) in CARD
    assert MODEL.stat().st_size <= 15e6


def test_it_needs_no_other_weights_and_knows_nothing_of_the_machine_that_trained_it() -> None:
    about = read_about(MODEL)
    assert about is not None
    assert about["labels"] == {"0": "background", "1": "anterior", "2": "posterior"}
    assert about["network_def"]["encoder"]["_target_"].endswith("NoEncoder")
    assert about["calibration"]["cases"] == 40
    assert not re.search(r"/(home|root|tmp|work|mnt)/", json.dumps(about))


def blurred_ellipsoid(affine: np.ndarray) -> nibabel.Nifti1Image:
    """About the size and contrast of a hippocampus, at 1 mm."""
    shape = (35, 50, 36)
    distance = sum(((axis - (size - 1) / 2) / (size / 4)) ** 2 for axis, size in zip(np.indices(shape), shape, strict=True))
    noise = np.random.default_rng(0).normal(0, 20, shape)
    return nibabel.Nifti1Image((200 + 150 / (1 + distance**2) + noise).astype(np.float32), affine)


def test_its_masks_lie_on_their_scans_however_these_are_stored(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    for name, rotation in (("RAS", np.eye(3)), ("LPI", -np.eye(3)), ("oblique", turn)):
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = rotation, (5, -7, 11)
        nibabel.save(blurred_ellipsoid(affine), tmp_path / "scans" / f"{name}.nii.gz")
    sam3d("segment", tmp_path / "scans", "--checkpoint", MODEL, "--output", tmp_path / "masks")
    for name in ("RAS", "LPI", "oblique"):
        image = nibabel.load(tmp_path / "scans" / f"{name}.nii.gz")
        mask = nibabel.load(tmp_path / "masks" / f"{name}_seg.nii.gz")
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert {*np.unique(np.asarray(mask.dataobj))} <= {0, 1, 2}
    assert len((tmp_path / "masks" / "quality.csv").read_text().splitlines()) == 1 + 3 * 2


@pytest.mark.slow
def test_its_accuracy_is_that_of_its_card(tmp_path: Path) -> None:
    data = SHARED / "hippocampus"
    if not data.is_dir():
        pytest.skip(f"the data set hippocampus is not at {data}")
    sam3d("evaluate", data, "--checkpoint", MODEL, "--output", tmp_path)
    mean = json.loads((tmp_path / "metrics.json").read_text())["mean_dice"]
    assert mean == pytest.approx(float(re.search(r"\| Dice .*\| ([\d.]+) \[", CARD)[1]), abs=0.001)
