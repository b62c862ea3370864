"""Runs of the bundle that may be killed, each forked from a process that has imported everything."""

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from runs.conftest import command_line

from scripts.files.unreadable_files import unreadable_files
from scripts.run.warm_bundle import start_bundle

Start = Callable[..., BaseProcess]
LOG = "log.txt"  # beside the output folder


@pytest.fixture(scope="session")
def start(phantoms: Path) -> Start:
    """Starts a run and returns its process; its output goes to `log.txt` beside `output_dir`."""

    def start(run_id: str, output_dir: Path, **options: object) -> BaseProcess:
        configs = ["inference.json" if run_id == "inference" else "train.json"]
        data = {} if run_id == "inference" else {"dataset_dir": phantoms}
        words = command_line(run_id, configs, {**data, "output_dir": output_dir, **options})[2:]  # after -m monai.bundle
        output_dir.parent.mkdir(parents=True, exist_ok=True)
        return start_bundle(words, output_dir.parent / LOG)

    return start


@pytest.fixture(scope="session")
def train(start: Start) -> Start:
    """A training run of four epochs; `resume` where there is something to resume."""

    def train(output_dir: Path, **options: object) -> BaseProcess:
        resume = (output_dir / "last.pt").exists()
        return start("training", output_dir, **{"resume": resume, "max_epochs": 4, **options})

    return train


@pytest.fixture(scope="session")
def left_alone(train: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of an undisturbed training run."""
    folder = tmp_path_factory.mktemp("left_alone") / "run"
    assert ended(train(folder)) == 0, (folder.parent / LOG).read_text()
    return folder


def ended(process: BaseProcess) -> int:
    """The exit code."""
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def assert_whole(folder: Path) -> None:
    assert list(unreadable_files(folder)) == []


def assert_nothing_half_written(folder: Path) -> None:
    assert_whole(folder)
    assert list(folder.rglob(".partial.*")) == []


def assert_same_training(folder: Path, other: Path) -> None:
    """Byte for byte: weights, optimizer, epoch and best metric."""
    for name in ("last.pt", "model.pt"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
