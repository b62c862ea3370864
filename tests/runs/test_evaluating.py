"""`run evaluating`: metrics in the file's own space, equal to those computed from the files."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.data.phantoms import write_phantoms

from .conftest import Command, run_forked

TABLES = {"metrics.csv", "metrics.json", "confusion.csv", "overlays.png"}
OURS = {*TABLES, "report.html"}


@pytest.fixture(scope="module")
def evaluation(bundle_run: Command, phantoms: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    bundle_run(
        "evaluating",
        ["train.json", "evaluate.json"],
        dataset_dir=phantoms,
        part="test",
        output_dir=folder,
        checkpoint=trained / "model.pt",
    )
    return folder


def test_the_reported_dice_is_that_of_the_written_masks_and_the_original_labels(evaluation: Path, phantoms: Path) -> None:
    rows = list(csv.DictReader((evaluation / "metrics.csv").read_text().splitlines()))
    assert {row["case"] for row in rows} == {"phantom_006", "phantom_007"}
    for row in rows:
        value = ["background", "liver", "kidney", "vessel"].index(row["class"])
        mask = np.asanyarray(nib.load(evaluation / "masks" / f"{row['case']}_seg.nii.gz").dataobj) == value
        label = phantoms / "labels" / f"{row['case']}.nii.gz"
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


def test_it_ends_with_a_page_on_all_of_it(evaluation: Path) -> None:
    page = (evaluation / "report.html").read_text()
    mean_dice = json.loads((evaluation / "metrics.json").read_text())["mean_dice"]
    for words in (
        f"<strong>{mean_dice:.3f}</strong>",
        "The encoder has random weights",
        "monai.bundle",  # the command
        "model.pt (sha256 ",
        '<section id="curves">',
        '"name": "phantom_006"',
        '"name": "reference"',
    ):
        assert words in page


def test_a_report_on_its_masks_has_the_same_tables(evaluation: Path, phantoms: Path, tmp_path: Path) -> None:
    words = ["report", f"{evaluation}/masks", f"{phantoms}/labels", "--nsd-tolerance", "2", "--output", "again/page.html"]
    result = run_forked(words, tmp_path, module="scripts", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "6 references without a mask were not measured" in result.stdout
    for name in ("metrics.csv", "metrics.json", "confusion.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (evaluation / name).read_bytes()
    assert "The encoder has random weights" in (tmp_path / "again" / "page.html").read_text()


def test_it_measures_what_validation_in_training_measured(bundle_run: Command, tmp_path: Path) -> None:
    """On the same cases, where nothing is resampled or padded; one reference lacks a structure that the network finds there."""
    data = write_phantoms(tmp_path / "data", {"training": 3, "validation": 2}, shape=(32, 32, 12)).parent
    options = {"dataset_dir": data, "max_epochs": 3, "learning_rate": 0.02}
    label = data / "labels" / "phantom_003.nii.gz"
    stored = nib.load(label)
    voxels = np.asanyarray(stored.dataobj)
    nib.save(nib.Nifti1Image(np.where(voxels == 2, 0, voxels).astype(np.uint8), stored.affine), label)
    bundle_run("training", ["train.json"], output_dir=tmp_path / "run", **options)
    options = {"dataset_dir": data, "output_dir": tmp_path / "out", "checkpoint": tmp_path / "run" / "model.pt"}
    bundle_run("evaluating", ["train.json", "evaluate.json"], **options)
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").read_text().splitlines()))
    assert any(int(row["voxels"]) and not int(row["voxels_reference"]) and float(row["dice"]) == 0 for row in rows)
    best = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["best_metric"]
    assert best > 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["mean_dice"] == pytest.approx(best, abs=1e-6)


@pytest.fixture
def unusable(phantoms: Path, tmp_path: Path) -> Path:
    """A dataset whose references of the list `test` are all on other grids."""
    folder = tmp_path / "data"
    shutil.copytree(phantoms, folder)
    for entry in json.loads((folder / "dataset.json").read_text())["test"]:
        label = nib.load(folder / entry["label"])
        nib.save(nib.Nifti1Image(np.asanyarray(label.dataobj)[:-1], label.affine), folder / entry["label"])
    return folder


def test_where_nothing_can_be_measured_no_old_table_stays(
    bundle_run: Command, evaluation: Path, unusable: Path, trained: Path, tmp_path: Path
) -> None:
    output = tmp_path / "evaluation"
    shutil.copytree(evaluation, output)
    options = {"dataset_dir": unusable, "part": "test", "output_dir": output, "checkpoint": trained / "model.pt"}
    result = bundle_run("evaluating", ["train.json", "evaluate.json"], fails=True, **options)
    assert "Traceback" not in result.stdout + result.stderr
    assert TABLES.isdisjoint(path.name for path in output.iterdir())
    entries = json.loads((output / "report.json").read_text())
    assert [entry["status"] for entry in entries] == ["refused"] * 2


def test_where_nothing_is_listed_the_run_is_refused_and_an_earlier_evaluation_stays_whole(
    bundle_run: Command, evaluation: Path, unusable: Path, trained: Path, tmp_path: Path
) -> None:
    output = tmp_path / "evaluation"
    shutil.copytree(evaluation, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    (unusable / "dataset.json").write_text('{"test": []}')
    options = {"dataset_dir": unusable, "part": "test", "output_dir": output, "checkpoint": trained / "model.pt"}
    bundle_run("evaluating", ["train.json", "evaluate.json"], fails=True, **options)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", sorted(OURS))
def test_somebody_else_s_table_is_not_overwritten(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("theirs")
    options = {"dataset_dir": phantoms, "part": "test", "output_dir": tmp_path, "checkpoint": trained / "model.pt"}
    result = bundle_run("evaluating", ["train.json", "evaluate.json"], fails=True, **options)
    assert f"{tmp_path / name} is there and was not written by this bundle" in result.stderr
    assert (tmp_path / name).read_text() == "theirs"
    assert not (tmp_path / "masks").exists()
