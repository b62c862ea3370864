"""A command that fails leaves its reason; one that is waited for does not outlive the waiting."""

import subprocess
from pathlib import Path

import psutil
import pytest

from scripts.research.comparison import bundle_process
from scripts.research.comparison.bundle_process import last_words, run_bundle


def test_the_reason_is_the_sentence_of_the_bundle_or_the_first_cause_or_the_last_line() -> None:
    chain = (
        "Traceback (most recent call last):\n  File x\nTypeError: no such size\n\nThe above\nRuntimeError: Failed to evaluate"
    )
    assert last_words(f"{chain}\nERROR: the encoder is missing; download it\n(the whole traceback: X=1)\n") == (
        "the encoder is missing; download it"
    )
    assert last_words(chain) == "TypeError: no such size"
    assert (
        last_words("torch.OutOfMemoryError: CUDA out of memory. Tried\nmore")
        == "torch.OutOfMemoryError: CUDA out of memory. Tried"
    )
    assert last_words("bar 10%\rbar 20%\n1 refused, 3 written\n\n") == "1 refused, 3 written"
    assert last_words("") == "it said nothing"


def test_a_failure_has_the_reason_of_this_run_not_of_an_earlier_one(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "log.txt"
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError: division by zero$"):
        run_bundle(["-c", "1 / 0"], log)
    with pytest.raises(RuntimeError, match="later"):
        run_bundle(["-c", "import sys; sys.exit('later')"], log)
    run_bundle(["-c", "print('well')"], log)
    assert log.read_text().endswith("later\nwell\n")


def test_a_killed_command_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"SIGKILL.*out of memory"):
        run_bundle(["-c", "import os; os.kill(os.getpid(), 9)"], tmp_path / "log.txt")


def test_a_command_ends_when_the_waiting_for_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self.pid)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(bundle_process.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_bundle(["-c", "import time; time.sleep(60)"], tmp_path / "log.txt")
    assert not psutil.pid_exists(started[0])
