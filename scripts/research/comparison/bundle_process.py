"""A command of the bundle -> a process of its own whose words go into a log, and its reason where it fails."""

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ...run.config_files import BUNDLE_ROOT

LONGEST_REASON = 300  # characters


def run_bundle(command: Sequence[str], log: Path) -> None:
    """command: the words after `python`; what it says is appended to `log`. It ends when we are ended.

    Raises RuntimeError with the last words of a command that fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        start = file.tell()
        process = subprocess.Popen([sys.executable, *command], cwd=BUNDLE_ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait()
        finally:
            process.terminate()
            process.wait()
    if code < 0:
        raise RuntimeError(f"ended by {signal.Signals(-code).name}" + (" (out of memory?)" if -code == signal.SIGKILL else ""))
    if code:
        raise RuntimeError(last_words(log.read_bytes()[start:].decode(errors="replace")))


def last_words(output: str) -> str:
    """The bundle's sentence about an error; else what a chain of tracebacks began with; else the last line."""
    sentences = re.findall(r"^ERROR: (.+)", output, re.MULTILINE)
    causes = re.findall(r"^[\w.]*Error: .+", output, re.MULTILINE)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = (sentences[-1:] or causes[:1] or lines[-1:] or ["it said nothing"])[0]
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 3] + "..."
