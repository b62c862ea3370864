"""`run training`: what it writes, and that a resumed training is the uninterrupted one."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.writer import SummaryWriter

from scripts.files.checkpoint_file import read_about

from .conftest import Command, command_line


def stop_after(epochs: int, folder: Path) -> Path:
    """An overlay that ends training early."""
    steps = json.loads((ROOT / "configs" / "train.json").read_text())["training"]
    stop = f"ignite.engine.Events.EPOCH_COMPLETED(once={epochs}), lambda engine: engine.terminate()"
    steps.insert(-1, f"$@train#trainer.add_event_handler({stop})")
    overlay = folder / "stop.json"
    overlay.write_text(json.dumps({"training": steps}))
    return overlay


def weights(folder: Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    state = torch.load(folder / name, weights_only=True)
    return state.get("network", state)


def assert_identical(folder: Path, other: Path) -> None:
    for name in ("last.pt", "model.pt"):
        first, second = weights(folder, name), weights(other, name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name


def test_training_writes_best_and_last_checkpoint_without_the_frozen_encoder(trained: Path) -> None:
    files = {"model.pt", "last.pt", "events", "report.json", "checked.json", ".lock"}
    assert {path.name for path in trained.iterdir()} == files
    assert not [key for key in weights(trained) if key.startswith("encoder.")]
    assert torch.load(trained / "last.pt", weights_only=True)["epoch"] == 2


def test_training_logs_loss_and_dice_of_every_class_to_tensorboard(trained: Path) -> None:
    accumulator = EventAccumulator(str(trained / "events")).Reload()
    tags = accumulator.Tags()["scalars"]
    assert {"train_loss", "val_mean_dice", "val_dice/liver", "val_dice/kidney", "val_dice/vessel"} <= set(tags)
    assert len(accumulator.Scalars("train_loss")) == 2


@pytest.mark.parametrize("num_workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    bundle_run: Command, phantoms: Path, tmp_path: Path, num_workers: int
) -> None:
    stop = stop_after(1, tmp_path)
    options = {"dataset_dir": phantoms, "max_epochs": 3, "num_workers": num_workers}
    bundle_run("training", ["train.json"], output_dir=tmp_path / "whole", **options)
    bundle_run("training", ["train.json", stop], output_dir=tmp_path / "parts", **options)
    assert torch.load(tmp_path / "parts" / "last.pt", weights_only=True)["epoch"] == 1
    with SummaryWriter(str(tmp_path / "parts" / "events")) as writer:  # as a run that is killed later than this leaves it
        writer.add_scalar("train_loss", 99, 2)
        writer.add_scalar("val_mean_dice", 99, 2)
    bundle_run("training", ["train.json"], output_dir=tmp_path / "parts", resume=True, **options)
    assert_identical(tmp_path / "whole", tmp_path / "parts")
    whole, parts = (EventAccumulator(str(tmp_path / name / "events")).Reload() for name in ("whole", "parts"))
    tags, tags_of_parts = ({kind: sorted(events.Tags()[kind]) for kind in ("scalars", "images")} for events in (whole, parts))
    assert tags == tags_of_parts  # in which order they lie depends on the order in which the files are read
    for tag in {*tags["scalars"]} - {"crops_per_second"}:
        points = [[(event.step, event.value) for event in events.Scalars(tag)] for events in (whole, parts)]
        assert points[0] == points[1], tag
        assert [step for step, _ in points[0]] == [1, 2, 3]


def test_a_run_that_started_from_another_one_is_resumed_to_the_same_weights_without_that_checkpoint(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first.pt"
    shutil.copy(trained / "last.pt", first)
    options = {"dataset_dir": phantoms, "max_epochs": 3, "init_from": first}
    whole = bundle_run("training", ["train.json"], output_dir=tmp_path / "whole", **options)
    assert (f"init_from: {first}: 8 of 8 tensors", "fresh: nothing") == re.findall(
        r"(init_from: .*: 8 of 8 tensors).*(fresh: .*)", whole.stdout + whole.stderr
    )[0]
    stop = stop_after(1, tmp_path)
    bundle_run("training", ["train.json", stop], output_dir=tmp_path / "parts", **options)
    first.unlink()
    resumed = bundle_run("training", ["train.json"], output_dir=tmp_path / "parts", resume=True, **options)
    assert "init_from:" not in resumed.stdout + resumed.stderr
    for name in ("last.pt", "model.pt"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    other = {**options, "init_from": tmp_path / "other.pt"}
    refused = bundle_run("training", ["train.json"], fails=True, output_dir=tmp_path / "parts", resume=True, **other)
    assert f"init_from was {first}, now it is {tmp_path / 'other.pt'}" in refused.stderr


def test_a_run_from_a_trained_network_begins_with_its_scores_and_not_at_random(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    options = {"dataset_dir": phantoms, "max_epochs": 1, "learning_rate": 1e-12, "weight_decay": 0}
    bundle_run("training", ["train.json"], output_dir=tmp_path / "run", init_from=trained / "last.pt", **options)
    before, after = weights(trained), weights(tmp_path / "run")
    assert all(torch.allclose(after[name].float(), before[name].float(), atol=1e-6) for name in before)
    about = read_about(tmp_path / "run" / "model.pt")
    assert about is not None
    assert about["init_from"] == str(trained / "last.pt")


@pytest.mark.slow  # tests/faults kills training runs by the dozen, without the time to start of each
def test_a_killed_training_goes_on_exactly(
    bundle_run: Command, phantoms: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    options = {"dataset_dir": phantoms, "max_epochs": 30, "num_workers": 0}
    bundle_run("training", ["train.json"], output_dir=tmp_path / "whole", **options)
    command = command_line("training", ["train.json"], {**options, "output_dir": tmp_path / "killed"})
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "killed" / "last.pt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    bundle_run("training", ["train.json"], output_dir=tmp_path / "killed", resume=True, **options)
    assert_identical(tmp_path / "whole", tmp_path / "killed")


def test_without_validation_all_cases_are_trained_on_and_the_last_network_is_the_model(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    result = bundle_run("training", ["train.json"], dataset_dir=phantoms, output_dir=folder, val_fraction=0, max_epochs=3)
    assert {key: value.tolist() for key, value in weights(folder, "model.pt").items()} == {
        key: value.tolist() for key, value in weights(folder).items()
    }
    assert "val_mean_dice" not in result.stdout + result.stderr
    assert "without validation" in result.stdout + result.stderr
    entries = json.loads((folder / "report.json").read_text())
    assert len(entries) == 6
    assert {entry["rule"] for entry in entries} == {"all cases serve training, none validation"}
    assert entries[0]["reason"].startswith("model.pt holds the weights of the last epoch")
    options = {"checkpoint": folder / "model.pt", "dataset_dir": phantoms, "output_dir": tmp_path / "evaluation"}
    result = bundle_run("evaluating", ["train.json", "evaluate.json"], fails=True, val_fraction=0, **options)
    assert "was trained on all cases, so none are left for validation" in result.stderr


def test_a_second_training_does_not_overwrite_the_first(bundle_run: Command, phantoms: Path, trained: Path) -> None:
    result = bundle_run("training", ["train.json"], fails=True, dataset_dir=phantoms, output_dir=trained)
    assert "already holds a training run" in result.stderr


def test_missing_encoder_weights_are_an_error_with_the_download_command(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "sam_vit_b_01ec64.pth"
    result = bundle_run(
        "training", ["train.json"], fails=True, dataset_dir=phantoms, output_dir=tmp_path, encoder_weights=missing
    )
    assert str(missing) in result.stderr
    assert "sam3d download" in result.stderr


@pytest.mark.parametrize(
    "overlay",
    [
        "overlays/joint_dice.yaml",
        "overlays/train_encoder.yaml",
    ],
)
def test_every_overlay_trains(bundle_run: Command, phantoms: Path, tmp_path: Path, overlay: str) -> None:
    last = ROOT / "configs" / overlay
    bundle_run("training", ["train.json"], last=[last], dataset_dir=phantoms, output_dir=tmp_path / "run", max_epochs=1)
    state = weights(tmp_path / "run")
    assert any(key.startswith("encoder.") for key in state) == ("train_encoder" in overlay)
