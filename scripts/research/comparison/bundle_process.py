"""A command of the bundle -> a process of its own whose words go into a log, and its reason where it fails."""

import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BUNDLE_ROOT = Path(__file__).parents[3]
LONGEST_REASON = 300  # characters


def bundle_command(run_id: str, configs: Sequence[Path], options: Mapping[str, Any]) -> list[str]:
    """The words after `python`."""
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", run_id, "--config_file", str([str(path) for path in configs]), *words]


def run_bundle(command: Sequence[str], log: Path) -> None:
    """Appends to `log`. Raises RuntimeError with the last words of a command that fails; ends it when we are ended."""
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
