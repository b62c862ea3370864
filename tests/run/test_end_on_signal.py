"""SIGTERM ends a process as an error does, at whatever moment it comes."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts.run.end_on_signal import end_on_signals

START = "import os, signal, sys, time; from scripts.run.end_on_signal import end_on_signals; end_on_signals()\n"
SENTENCE = "ended by SIGTERM: what was written is whole; the same command goes on, a training run with --resume"


def run(code: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code, *words], capture_output=True, text=True, timeout=30)


def test_what_must_be_cleaned_up_is_and_a_second_signal_does_not_interrupt_it(tmp_path: Path) -> None:
    code = """
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
finally:
    os.kill(os.getpid(), signal.SIGTERM)
    open(sys.argv[1], "w").close()
"""
    result = run(code, tmp_path / "cleaned up")
    assert result.returncode == 143
    assert result.stderr.strip() == SENTENCE
    assert (tmp_path / "cleaned up").exists()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", -signal.SIGINT)])
def test_a_signal_while_an_object_is_deleted_is_not_lost(name: str, code: int) -> None:
    """A loader waits for its workers in its `__del__`, which takes most of an epoch that is short."""
    result = run(f"""
signal.signal(signal.SIGINT, signal.default_int_handler)
class Loader:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.05)
loader = Loader()
del loader
time.sleep(20)
""")
    assert result.returncode == code
    assert "Exception ignored" not in result.stderr


def test_a_forked_worker_ends_without_running_what_is_its_parents() -> None:
    result = run("""
child = os.fork()
try:
    if child == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    print("child", os.waitpid(child, 0)[1])
finally:
    print("cleaned up by", "parent" if child else "child")
""")
    assert (result.returncode, result.stdout, result.stderr) == (0, "child 0\ncleaned up by parent\n", "")


def test_ctrl_c_is_for_the_parent_of_a_forked_worker_even_before_it_does_anything() -> None:
    """A terminal sends it to both; a worker would end with a traceback of its own where it is not in its loop yet."""
    result = run("""
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGINT)
    print("lives on", flush=True)
    os._exit(0)
print("child", os.waitpid(child, 0)[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
""")
    assert (result.returncode, result.stdout, result.stderr) == (0, "lives on\nchild 0\ninterrupted\n", "")


def test_other_ignored_errors_are_shown_as_ever() -> None:
    result = run("""
class Broken:
    def __del__(self):
        raise ValueError("in its __del__")
Broken()
""")
    assert result.returncode == 0
    assert "ValueError: in its __del__" in result.stderr


def test_a_program_with_its_own_end_keeps_it() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    thread = threading.Thread(target=end_on_signals)
    thread.start()
    thread.join()
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        theirs = signal.getsignal(signal.SIGTERM)
        end_on_signals()
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, previous)
