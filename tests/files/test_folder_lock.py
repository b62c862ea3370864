"""One process at a time writes to an output folder, and a killed one stands in nobody's way."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from scripts.files.folder_lock import lock_folder

HOLD = """
import multiprocessing, os, sys
from scripts.files.folder_lock import lock_folder
lock_folder(sys.argv[1])
lock_folder(sys.argv[1])  # again is no error
end = os.dup(0)  # multiprocessing closes a worker's standard input
if "worker" in sys.argv:
    fork = multiprocessing.get_context("fork")
    runs = fork.Event()
    def work():
        runs.set()
        os.read(end, 1)
    fork.Process(target=work).start()
    runs.wait()  # a worker that was just forked lets go of the lock when it first runs
print("held", flush=True)
os.read(end, 1)
"""


@contextmanager
def holder(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder until it is killed, and what it forked until this context ends."""
    command = [sys.executable, "-c", HOLD, folder, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_who_writes_and_what_to_do(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        words = rf"{tmp_path / 'run'} belongs to another run .*\(process {process.pid} on .*\); wait until it ends, or choose"
        for _ in range(2):
            with pytest.raises(RuntimeError, match=words):
                lock_folder(tmp_path / "run")
        lock_folder(tmp_path / "another")


@pytest.mark.parametrize("words", [[], ["worker"]], ids=["alone", "with a forked worker that lives on"])
def test_kill_9_frees_the_folder(tmp_path: Path, words: list[str]) -> None:
    with holder(tmp_path, *words) as process:
        process.kill()
        process.wait()
        assert re.fullmatch(r"process \d+ on .+", (tmp_path / ".lock").read_text())
        lock_folder(tmp_path)


def test_one_process_may_lock_a_folder_again(tmp_path: Path) -> None:
    for name in ("run", str(tmp_path / "x" / ".." / "run")):
        lock_folder(tmp_path / name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"{tmp_path / 'file' / 'run' / '.lock'} cannot be written"):
        lock_folder(tmp_path / "file" / "run")


def test_where_the_file_system_has_no_locks_the_run_goes_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def acquire(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    lock_folder(tmp_path)
    assert f"{tmp_path}: its file system has no locks" in caplog.text
