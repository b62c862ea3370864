"""SIGTERM and Ctrl-C end a run as an error does: nothing half written, one sentence, and it can be resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from runs.conftest import command_line

from .conftest import LOG, Start, assert_nothing_half_written, assert_same_training, ended

SIGTERM = 128 + signal.SIGTERM


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_sigterm_leaves_nothing_half_written_and_the_training_goes_on(
    train: Start, left_alone: Path, tmp_path: Path, times: int
) -> None:
    folder, generator, codes = tmp_path / "run", random.Random(0), []
    for number in range(times):
        process = train(folder)
        if number % 2:  # while a checkpoint is written
            while process.is_alive() and not any(folder.glob(".partial.*")):
                pass
        else:
            process.join(generator.uniform(0.3, 1.5))
        process.terminate()
        codes.append(ended(process))
        assert_nothing_half_written(folder)
        if codes[-1] == 0:
            assert_same_training(folder, left_alone)
            folder = tmp_path / f"run {number}"
    assert set(codes) <= {SIGTERM, -signal.SIGTERM, 0}, (tmp_path / LOG).read_text()  # -15: while the configs were being read
    assert SIGTERM in codes
    if (folder / "last.pt").exists():
        assert ended(train(folder)) == 0
        assert_same_training(folder, left_alone)


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (
            signal.SIGINT,
            -signal.SIGINT,
            "interrupted: what was written is whole; the same command goes on, a training run with --resume",
        ),
        pytest.param(
            signal.SIGTERM,
            SIGTERM,
            "ended by SIGTERM: what was written is whole; the same command goes on, a training run with --resume",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_to_all_processes_of_a_run_is_one_sentence(
    phantoms: Path, tmp_path: Path, number: int, code: int, sentence: str
) -> None:
    """As from a terminal or a scheduler: the loaders' workers get it too."""
    options = {"dataset_dir": phantoms, "output_dir": tmp_path / "run", "max_epochs": 1000, "num_workers": 2}
    command = [sys.executable, *command_line("training", ["train.json"], options)]
    with (tmp_path / LOG).open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell ignores SIGINT for what runs in the background
        )
    while process.poll() is None and not (tmp_path / "run" / "last.pt").exists():
        time.sleep(0.01)
    os.killpg(process.pid, number)
    output = f"{process.wait(60)}\n{(tmp_path / LOG).read_text()}"
    assert sentence in output
    assert "Traceback" not in output
    assert process.returncode == code
    assert_nothing_half_written(tmp_path / "run")
