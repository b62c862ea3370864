"""Files of a run that were changed behind its back: refused by name before anything is written, or made anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint

from .conftest import Command
from .test_training import stop_after


@pytest.fixture(scope="module")
def dataset(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a validation list: the six cases are split by the seed."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    shutil.copytree(phantoms, folder)
    content = json.loads((folder / "dataset.json").read_text())
    content["training"] += content.pop("validation")
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def stopped(bundle_run: Command, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a training run that stopped after the first of its two epochs."""
    folder = tmp_path_factory.mktemp("stopped")
    stop = stop_after(1, folder)
    bundle_run("training", ["train.json", stop], dataset_dir=dataset, output_dir=folder / "run", seed=7)
    return folder / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(result: object) -> str:
    """The sentence with which a run ended."""
    lines = result.stderr.splitlines()
    assert "Traceback" not in result.stderr
    assert lines[-1] == "(the whole traceback: SAM3D_TRACEBACK=1)"
    return next(line for line in reversed(lines) if line.startswith("ERROR: "))


def change_a_label(dataset: Path, run: Path) -> None:
    path = sorted((dataset / "labels").iterdir())[0]
    label = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(label.dataobj)[::-1].copy(), label.affine), path)


def exchange_a_case(dataset: Path, run: Path) -> None:
    content = json.loads((dataset / "dataset.json").read_text())
    content["training"][0] = content["test"][0]
    (dataset / "dataset.json").write_text(json.dumps(content))


def put_the_best_in_place_of_the_last(dataset: Path, run: Path) -> None:
    shutil.copy(run / "model.pt", run / "last.pt")


def skip_to_epoch_999(dataset: Path, run: Path) -> None:
    state, about = read_checkpoint(run / "last.pt"), read_about(run / "last.pt")
    write_checkpoint(run / "last.pt", {**state, "epoch": 999}, about)


def exceed_the_best(dataset: Path, run: Path) -> None:
    state, about = read_checkpoint(run / "last.pt"), read_about(run / "last.pt")
    write_checkpoint(run / "last.pt", {**state, "best_metric": 1.5}, about)


def put_a_file_in_place_of_the_events(dataset: Path, run: Path) -> None:
    shutil.rmtree(run / "events")
    (run / "events").touch()


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (change_a_label, "last.pt belongs to a training run on other cases: 1 of "),
        (exchange_a_case, "last.pt belongs to a training run on other cases: "),
        (put_the_best_in_place_of_the_last, "last.pt is not the state of a training run"),
        (skip_to_epoch_999, "last.pt holds what cannot be: it is of epoch 999 of 2"),
        (exceed_the_best, "last.pt holds what cannot be: the best metric is 1.5, metric_range says 0 to 1"),
        (put_a_file_in_place_of_the_events, "events must be a folder"),
    ],
)
def test_a_run_whose_state_was_changed_is_not_resumed(
    bundle_run: Command,
    dataset: Path,
    stopped: Path,
    tmp_path: Path,
    tamper: Callable[[Path, Path], None],
    words: str,
) -> None:
    run, data = shutil.copytree(stopped, tmp_path / "run"), shutil.copytree(dataset, tmp_path / "data")
    tamper(data, run)
    before = {name: (run / name).read_bytes() for name in ("model.pt", "last.pt")}
    result = bundle_run("training", ["train.json"], fails=True, dataset_dir=data, output_dir=run, seed=7, resume=True)
    assert words in said(result)
    assert str(run) in said(result)
    assert {name: (run / name).read_bytes() for name in before} == before


def test_what_only_saves_time_is_made_anew(bundle_run: Command, dataset: Path, stopped: Path, tmp_path: Path) -> None:
    """And the data may lie elsewhere by now."""
    run, data = shutil.copytree(stopped, tmp_path / "run"), shutil.copytree(dataset, tmp_path / "data")
    (run / "checked.json").write_text("[" * 100_000)
    next((run / "events").glob("events*")).write_bytes(b"damaged")
    bundle_run("training", ["train.json"], dataset_dir=data, output_dir=run, seed=7, resume=True)
    assert read_checkpoint(run / "last.pt")["complete"]
    assert json.loads((run / "checked.json").read_text())


@pytest.mark.parametrize("resume", [True, False])
def test_nothing_in_the_folder_of_a_finished_run_is_touched(
    bundle_run: Command, phantoms: Path, trained: Path, resume: bool
) -> None:
    before = contents(trained)
    result = bundle_run("training", ["train.json"], fails=True, dataset_dir=phantoms, output_dir=trained, resume=resume)
    assert ("complete (2 epochs): nothing to resume" if resume else "already holds a training run") in said(result)
    assert contents(trained) == before


def test_an_evaluation_splits_as_the_training_run_did(
    bundle_run: Command, dataset: Path, stopped: Path, tmp_path: Path
) -> None:
    assert read_about(stopped / "model.pt")["seed"] == 7
    options = {"dataset_dir": dataset, "checkpoint": stopped / "model.pt"}
    configs = ["train.json", "evaluate.json"]
    result = bundle_run("evaluating", configs, fails=True, output_dir=tmp_path / "other", **options)
    assert "model.pt was trained with another split: seed was 7, now it is 0" in said(result)
    bundle_run("evaluating", configs, output_dir=tmp_path / "same", seed=7, **options)
    held_out = read_checkpoint(stopped / "last.pt")["cases"]["validation"]
    assert json.loads((tmp_path / "same" / "metrics.json").read_text())["cases"] == len(held_out)


def spoiled(trained: Path, folder: Path, spoil: Callable[[torch.Tensor], object]) -> Path:
    """A checkpoint whose last layer was changed."""
    state, about = read_checkpoint(trained / "model.pt"), read_about(trained / "model.pt")
    spoil(state[[name for name in state if name.endswith("weight")][-1]])
    write_checkpoint(folder / "model.pt", state, about)
    return folder / "model.pt"


def test_logits_that_are_no_numbers_make_no_mask(bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path) -> None:
    checkpoint = spoiled(trained, tmp_path, lambda weight: weight.fill_(1e38))
    options = {"input": phantoms / "images", "checkpoint": checkpoint, "output_dir": tmp_path / "masks"}
    bundle_run("inference", ["inference.json"], fails=True, **options)
    entries = json.loads((tmp_path / "masks" / "report.json").read_text())
    assert {(entry["status"], entry["rule"]) for entry in entries} == {("refused", "the network's output must be finite")}
    assert all(str(checkpoint) in entry["reason"] for entry in entries)
    assert list((tmp_path / "masks").rglob("*.nii.gz")) == []


def test_one_class_throughout_is_said(bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path) -> None:
    checkpoint = spoiled(trained, tmp_path, lambda weight: weight.zero_())
    options = {"input": phantoms / "images", "checkpoint": checkpoint, "output_dir": tmp_path / "masks"}
    result = bundle_run("inference", ["inference.json"], **options)
    entries = json.loads((tmp_path / "masks" / "report.json").read_text())
    assert {(entry["status"], entry["rule"]) for entry in entries} == {("written", "a network should tell classes apart")}
    assert "a network should tell classes apart; every voxel of every mask" in result.stdout + result.stderr
