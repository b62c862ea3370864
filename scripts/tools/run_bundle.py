"""What a command stands for -> the line, ready to copy, and the run."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ..run.bundle_command import bundle_words, run_here, shell_line
from ..run.config_files import BUNDLE_ROOT


def run_bundle(
    run_id: str,
    configs: Sequence[Path],
    options: Mapping[str, Any],
    settings: Sequence[tuple[str, Any]] | None,
    dry_run: bool,
    processes: int = 1,
) -> bool:
    """Whether it was run; a run that fails does not return. The arguments are those of `line_of`."""
    words = line_of(run_id, configs, options, settings, processes)
    print(shell_line(words), flush=True)
    if dry_run:
        return False
    run_here(words)
    return True


def line_of(
    run_id: str,
    configs: Sequence[Path],
    options: Mapping[str, Any],
    settings: Sequence[tuple[str, Any]] | None,
    processes: int = 1,
) -> list[str]:
    """The words after `python`.

    options: those that are None are left to the configs. settings: of --set, whose options must be others.
    """
    given = {identifier: value for identifier, value in options.items() if value is not None}
    if twice := sorted(given.keys() & dict(settings or ())):
        raise typer.BadParameter(f"{', '.join(twice)}: another option of this command sets it", param_hint="--set")
    return bundle_words(run_id, configs, {**given, **dict(settings or ())}, processes)


def run_child(words: Sequence[str]) -> int:
    """The exit code of `python WORDS` in a process of its own, which ends when we are ended."""
    process = subprocess.Popen([sys.executable, *words], cwd=BUNDLE_ROOT)
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def say_next(*commands: Sequence[str | Path]) -> None:
    """Commands to go on with, ready to copy; a file of this folder by its name."""
    print("\nnext:", *(f"    sam3d {shlex.join(map(shown, words))}" for words in commands), sep="\n")


def shown(word: str | Path) -> str:
    return os.path.relpath(word) if isinstance(word, Path) and word.is_relative_to(Path.cwd()) else str(word)
