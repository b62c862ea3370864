"""A run whose state was changed, or cannot be, ends in a sentence before anything is written, or makes good what it can."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from runs.conftest import Command
from runs.test_training import stop_after
from safetensors.torch import load_file

from scripts.data.phantoms import write_phantoms
from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint

from .state import CACHED, RESUMED, SETTINGS, Tamper

CACHING = ["train.json", "overlays/cached.yaml"]


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


def said(result: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which a run ended."""
    lines = result.stderr.splitlines()
    assert "Traceback" not in result.stdout + result.stderr
    assert lines[-1] == "(the whole traceback: SAM3D_TRACEBACK=1)"
    return next(line for line in reversed(lines) if line.startswith("ERROR: "))


@pytest.mark.parametrize(("tamper", "due"), RESUMED.values(), ids=RESUMED)
def test_a_run_whose_state_was_changed_is_not_resumed(
    bundle_run: Command, dataset: Path, stopped: Path, tmp_path: Path, tamper: Tamper, due: str
) -> None:
    run, data = shutil.copytree(stopped, tmp_path / "run"), shutil.copytree(dataset, tmp_path / "data")
    tamper(data, run)
    before = {name: (run / name).read_bytes() for name in ("model.pt", "last.pt")}
    result = bundle_run("training", ["train.json"], fails=True, dataset_dir=data, output_dir=run, seed=7, resume=True)
    assert due in said(result)
    assert str(run) in said(result)
    assert {name: (run / name).read_bytes() for name in before} == before


@pytest.fixture(scope="module")
def cache(bundle_run: Command, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    bundle_run("caching", CACHING, dataset_dir=phantoms, cache_dir=folder / "cache", output_dir=folder / "out")
    return folder / "cache"


@pytest.mark.parametrize(("tamper", "computed"), CACHED.values(), ids=CACHED)
def test_an_entry_of_the_cache_that_is_another_s_is_computed_again_by_name(
    bundle_run: Command, phantoms: Path, cache: Path, tmp_path: Path, tamper: Callable[[Path, Path], None], computed: int
) -> None:
    folder = shutil.copytree(cache, tmp_path / "cache")
    entry, other = sorted(folder.glob("[!.]*"))[:2]
    tamper(entry, other)
    result = bundle_run("caching", CACHING, dataset_dir=phantoms, cache_dir=folder, output_dir=tmp_path / "out")
    output = result.stdout + result.stderr
    assert f"{entry} is damaged, or another's, and is computed again" in output
    assert f"{computed} embeddings computed" in output
    assert not entry.is_symlink()
    for path in (entry, other):
        now, before = load_file(path), load_file(cache / path.name)
        assert all(torch.equal(now[name], before[name]) for name in before)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_written(
    bundle_run: Command, phantoms: Path, tmp_path: Path, setting: str
) -> None:
    option, _, value = setting.removeprefix("--").partition(" ")
    options, configs = {option: value}, ["train.json"]
    if not setting.startswith("--"):
        (tmp_path / "settings.yaml").write_text(setting)
        options, configs = {}, ["train.json", tmp_path / "settings.yaml"]
    last = [path for path in configs if isinstance(path, Path)]
    output = tmp_path / "run"
    result = bundle_run("training", ["train.json"], fails=True, last=last, dataset_dir=phantoms, output_dir=output, **options)
    assert SETTINGS[setting] in said(result)
    assert not output.exists()


def test_an_expression_of_the_settings_is_evaluated_once(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f"batch_size: $open('{tmp_path}/evaluated', 'a').write('x') + 1")
    options = {"dataset_dir": phantoms, "output_dir": tmp_path / "run", "max_epochs": 1}
    bundle_run("training", ["train.json"], last=[tmp_path / "settings.yaml"], **options)
    assert (tmp_path / "evaluated").read_text() == "x"


@pytest.mark.parametrize("spacing", [60.0, 90.0])
def test_a_volume_that_resampling_would_make_larger_than_memory_is_refused(
    bundle_run: Command, tmp_path: Path, spacing: float
) -> None:
    """A terabyte for a file of a few hundred kB, and more."""
    write_phantoms(tmp_path, {"training": 2, "validation": 1}, shape=(40, 48, 36))
    large = sorted((tmp_path / "images").iterdir())[0]
    for file in (large, tmp_path / "labels" / large.name):
        image = nib.load(file)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), np.diag([spacing, spacing, spacing, 1])), file)
    options = {"dataset_dir": tmp_path, "output_dir": tmp_path / "run", "spacing": "[1,1,1]"}
    result = bundle_run("training", ["train.json"], fails=True, **options)
    assert "training starts on good cases alone" in said(result)
    (refused,) = [entry for entry in json.loads((tmp_path / "run" / "report.json").read_text()) if entry["status"] == "refused"]
    assert (refused["file"], refused["rule"]) == (str(large), "a volume must fit into memory")
    assert f"{round(40 * spacing)} x {round(48 * spacing)} x {round(36 * spacing)} voxels" in refused["reason"]


def test_what_only_saves_time_is_made_anew(bundle_run: Command, dataset: Path, stopped: Path, tmp_path: Path) -> None:
    """And the data may lie elsewhere by now."""
    run, data = shutil.copytree(stopped, tmp_path / "run"), shutil.copytree(dataset, tmp_path / "data")
    (run / "checked.json").write_text("[" * 100_000)
    next((run / "events").glob("events*")).write_bytes(b"damaged")
    bundle_run("training", ["train.json"], dataset_dir=data, output_dir=run, seed=7, resume=True)
    assert read_checkpoint(run / "last.pt")["complete"]
    assert json.loads((run / "checked.json").read_text())


@pytest.mark.parametrize(
    ("run_id", "resume", "due"),
    [
        ("training", False, "already holds a training run"),
        ("training", True, "complete (2 epochs): nothing to resume"),
        ("caching", False, "already holds a training run"),
        ("caching", True, "already holds a training run"),
    ],
)
def test_nothing_in_the_folder_of_a_finished_run_is_touched(
    bundle_run: Command, phantoms: Path, trained: Path, run_id: str, resume: bool, due: str
) -> None:
    before = contents(trained)
    configs = CACHING if run_id == "caching" else ["train.json"]
    result = bundle_run(run_id, configs, fails=True, dataset_dir=phantoms, output_dir=trained, resume=resume)
    assert due in said(result)
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


def test_logits_that_are_no_numbers_are_no_score_in_validation(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overflow.yaml"
    overlay.write_text('validate#inferer: "$lambda inputs, network: network(inputs) * torch.inf"')
    options = {"dataset_dir": phantoms, "output_dir": tmp_path / "run"}
    result = bundle_run("training", ["train.json"], fails=True, last=[overlay], **options)
    validated = json.loads((phantoms / "dataset.json").read_text())["validation"][0]["image"]
    assert f"{phantoms / validated}: the network's output must be finite; with the weights of this epoch" in said(result)
    assert list((tmp_path / "run").glob("*.pt")) == []


def test_one_class_throughout_is_said(bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path) -> None:
    checkpoint = spoiled(trained, tmp_path, lambda weight: weight.zero_())
    options = {"input": phantoms / "images", "checkpoint": checkpoint, "output_dir": tmp_path / "masks"}
    result = bundle_run("inference", ["inference.json"], **options)
    entries = json.loads((tmp_path / "masks" / "report.json").read_text())
    assert {(entry["status"], entry["rule"]) for entry in entries} == {("written", "a network should tell classes apart")}
    assert "a network should tell classes apart; every voxel of every mask" in result.stdout + result.stderr
