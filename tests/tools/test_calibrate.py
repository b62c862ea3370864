"""`sam3d calibrate`: from an evaluation to a checkpoint that says how far its masks can be trusted."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from runs.conftest import NARROW_CONFIG
from scipy.ndimage import generate_binary_structure, label

from scripts.data.masks.clean_mask import clean_mask
from scripts.data.phantoms import LABELS, write_phantoms
from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint

from .conftest import Shell, Typed

CASES = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, {"training": 2, "validation": CASES}, shape=(24, 20, 8))
    return folder


@pytest.fixture(scope="module")
def evaluated(data: Path, warm: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training run, evaluated."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(NARROW_CONFIG, folder / "mine.yaml")
    warm(f"sam3d train {data} --preset mine --set max_epochs=3 --set learning_rate=0.02 --output run", cwd=folder)
    warm(f"sam3d evaluate {data} --checkpoint run/model.pt", cwd=folder)
    return folder / "run"


@pytest.fixture(scope="module")
def calibrated(evaluated: Path, warm: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(evaluated, folder)
    result = warm("sam3d calibrate run", cwd=folder.parent)
    assert f"{CASES} cases in 5 parts" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("    sam3d segment SCANS --checkpoint run/model.pt")
    return folder


def test_figures_and_a_picture_are_written(calibrated: Path) -> None:
    report = json.loads((calibrated / "calibration.json").read_text())
    assert (report["cases"], [*report["structures"]]) == (CASES, ["liver", "kidney", "vessel"])
    assert sorted(case["case"] for case in report["by_case"]) == [f"phantom_{n:03}" for n in range(2, 2 + CASES)]
    with (calibrated / "evaluation" / "metrics.csv").open() as file:
        dice = {(row["case"], row["class"]): row["dice"] for row in csv.DictReader(file)}
    if not report["cleaning"]["setting"]:
        for case in report["by_case"]:
            for name, value in zip(report["structures"], case["dice"], strict=True):
                assert (value is None) == (dice[case["case"], name] == "")
                assert value is None or value == pytest.approx(float(dice[case["case"], name]), abs=1e-4)
    assert (calibrated / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_the_checkpoint_gains_what_was_learnt_and_is_otherwise_the_same(calibrated: Path, evaluated: Path) -> None:
    before, after = (read_about(folder / "model.pt") for folder in (evaluated, calibrated))
    assert before is not None
    assert after is not None
    assert after.keys() - before.keys() == {"temperature", "cleaning", "calibration"}
    assert {key: after[key] for key in before} == before
    report = json.loads((calibrated / "calibration.json").read_text())
    assert [after["temperature"]] == report["temperature"]["value"]
    assert len(after["calibration"]["structures"]) == 3
    tensors, others = (read_checkpoint(folder / "model.pt") for folder in (calibrated, evaluated))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    assert (calibrated / "last.pt").read_bytes() == (evaluated / "last.pt").read_bytes()


def test_calibrating_twice_is_calibrating_once(calibrated: Path, warm: Shell) -> None:
    before = {name: (calibrated / name).read_bytes() for name in ("model.pt", "calibration.json")}
    warm("sam3d calibrate run", cwd=calibrated.parent)
    assert {name: (calibrated / name).read_bytes() for name in before} == before


def test_segment_says_how_good_its_masks_are_and_lists_those_to_look_at(
    calibrated: Path, data: Path, warm: Shell, tmp_path: Path
) -> None:
    line = f"sam3d segment {data}/images --checkpoint {calibrated}/model.pt --output masks --flag-below 0.999"
    result = warm(line, cwd=tmp_path)
    assert result.stdout.splitlines()[-1] == "how good each mask is likely to be: masks/quality.csv"
    rows = list(csv.DictReader((tmp_path / "masks" / "quality.csv").read_text().splitlines()))
    assert len(rows) == 3 * (2 + CASES)
    entries = {entry["file"]: entry for entry in json.loads((tmp_path / "masks" / "report.json").read_text())}
    low = {row["file"] for row in rows if row["predicted_dice"] and float(row["predicted_dice"]) < 0.999}
    assert low
    for file, entry in entries.items():
        assert entry["status"] == "written"
        assert (entry["rule"] == "a mask should be as good as --flag-below says") == (file in low)
    assert {row["file"] for row in rows if row["flagged"]} == low
    masks = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").glob("*.nii.gz")}
    warm(line.replace("0.999", "0.001"), cwd=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in masks} == masks  # a threshold makes no other mask
    again = list(csv.DictReader((tmp_path / "masks" / "quality.csv").read_text().splitlines()))
    assert [{**row, "flagged": ""} for row in again] == [{**row, "flagged": ""} for row in rows]


@pytest.mark.slow
def test_an_evaluation_cleans_as_the_checkpoint_says_and_is_calibrated_as_it_is(
    evaluated: Path, data: Path, warm: Shell, tmp_path: Path
) -> None:
    folder = shutil.copytree(evaluated, tmp_path / "run")
    expected = {path.name: voxels_of(path) for path in (folder / "evaluation" / "masks").glob("*.nii.gz")}
    value = next(value for value in (1, 2, 3) if any(pieces(mask, value) > 1 for mask in expected.values()))
    cleaning = {LABELS[str(value)]: {"keep_largest": True}}
    about = read_about(folder / "model.pt")
    assert about is not None
    write_checkpoint(folder / "model.pt", read_checkpoint(folder / "model.pt"), {**about, "cleaning": cleaning})
    warm(f"sam3d evaluate {data} --checkpoint run/model.pt", cwd=tmp_path)
    for name, mask in expected.items():
        clean_mask(mask, value, {"keep_largest": True}, [1.0, 1.0, 1.0])
        np.testing.assert_array_equal(voxels_of(folder / "evaluation" / "masks" / name), mask)
    warm("sam3d calibrate run", cwd=tmp_path)
    stamped = read_about(folder / "model.pt")
    assert stamped is not None
    assert stamped["cleaning"] == cleaning  # it was chosen before


def voxels_of(mask: Path) -> np.ndarray:
    return np.asanyarray(nib.load(mask).dataobj).copy()


def pieces(mask: np.ndarray, value: int) -> int:
    return label(mask == value, generate_binary_structure(3, 3))[1]  # pyright: ignore[reportReturnType, reportIndexIssue]


def test_folds_are_calibrated_together_and_make_an_ensemble(
    evaluated: Path, data: Path, warm: Shell, typed: Typed, tmp_path: Path
) -> None:
    for number in range(2):
        shutil.copytree(evaluated, tmp_path / "run" / f"fold_{number}")
        for path in sorted((tmp_path / "run" / f"fold_{number}" / "evaluation" / "calibration").glob("*.npz"))[number::2]:
            path.unlink()
    result = warm("sam3d calibrate run", cwd=tmp_path)
    assert f"{CASES} cases in 2 parts" in result.stdout
    parts = {case["case"]: case["part"] for case in json.loads((tmp_path / "run" / "calibration.json").read_text())["by_case"]}
    assert {int(name[-3:]) % 2 == part for name, part in parts.items()} in ({True}, {False})
    for name in ("calibration.json", "calibration.png"):  # as if this fold had been calibrated alone before
        shutil.copy(tmp_path / "run" / name, tmp_path / "run" / "fold_0")
    (tmp_path / "run" / "folds.json").write_text(json.dumps({"folds": [{}, {}]}))
    assert "segment SCANS --checkpoint run --output" in warm("sam3d calibrate run", cwd=tmp_path).stdout
    assert {path.name for path in (tmp_path / "run").glob("fold_*/calibration.*")} == set()
    (tmp_path / "run" / "folds.json").write_text(json.dumps({"folds": [{}, {}, {}]}))
    unfinished = " ".join(typed("calibrate", tmp_path / "run", fails=True).replace("│", " ").split())
    assert "of the 3 folds" in unfinished
    assert "1 have no model.pt yet" in unfinished
    checkpoints = " ".join(f"--checkpoint run/fold_{number}/model.pt" for number in range(2))
    words = f"segment {data}/images {checkpoints} --output masks --flag-below 0.5 --dry-run"
    assert "--flag_below 0.5" in warm(f"sam3d {words}", cwd=tmp_path).stdout
    refused = warm(f"sam3d {words.replace('run/fold_1/model.pt', str(evaluated / 'model.pt'))}", cwd=tmp_path, code=2)
    assert "another temperature and" in " ".join(refused.stderr.split())


def test_what_cannot_be_calibrated_is_refused_in_words(
    evaluated: Path, data: Path, warm: Shell, typed: Typed, tmp_path: Path
) -> None:
    def said(folder: Path) -> str:
        return " ".join(typed("calibrate", folder, fails=True).replace("│", " ").split())

    (tmp_path / "empty").mkdir()
    assert "holds no model.pt, nor do folders fold_* in it" in said(tmp_path / "empty")
    bare = shutil.copytree(evaluated, tmp_path / "bare")
    shutil.rmtree(bare / "evaluation" / "calibration")
    assert "holds no cases of an evaluation; run: sam3d evaluate DATA --checkpoint" in said(bare)
    other = shutil.copytree(evaluated, tmp_path / "other")
    about = read_about(other / "model.pt")
    assert about is not None
    state: dict[str, Any] = {name: tensor + 1 for name, tensor in read_checkpoint(other / "model.pt").items()}
    write_checkpoint(other / "model.pt", state, about)
    assert "is of other weights than" in said(other)
    twice = tmp_path / "twice"
    for number in range(2):
        shutil.copytree(evaluated, twice / f"fold_{number}")
    assert "each case counts once" in said(twice)
    damaged = shutil.copytree(evaluated, tmp_path / "damaged")
    file = next((damaged / "evaluation" / "calibration").glob("*.npz"))
    file.write_bytes(file.read_bytes()[:500])
    assert f"{file} cannot be read as a case of an evaluation" in said(damaged)
    theirs = shutil.copytree(evaluated, tmp_path / "theirs")
    (theirs / "calibration.json").write_text("[]")
    with pytest.raises(FileExistsError, match="was not written by this bundle"):
        typed("calibrate", theirs, fails=True)
    line = f"sam3d segment {data}/images --checkpoint {evaluated}/model.pt --output masks --flag-below 0.8"
    refused = warm(line, cwd=tmp_path, code=2)
    assert "monai.bundle" not in refused.stdout  # before the line is printed
    refused = " ".join(refused.stderr.replace("│", " ").split())
    assert "nobody knows how good the masks of a checkpoint are that was not calibrated" in refused
    assert "sam3d calibrate RUN" in refused
    assert not (tmp_path / "masks").exists()
