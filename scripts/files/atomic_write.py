"""A file under its final name is always whole: write beside it, then rename."""

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from .disk_errors import disk_errors_in_words

SUFFIXES = re.compile(r"(?:\.\w{1,12}){0,2}$", re.ASCII)  # .nii.gz, .safetensors


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file in the same folder; on success it replaces `path`, on an error it is removed.

    The temporary file ends in the same suffixes as `path`, since writers choose a format by them. Raises OSError with what to
    do when the disk is full or does not let us write.
    """
    temporary = path.with_name(f"{_prefix()}{os.getpid()}.{_digest(path.name)}{SUFFIXES.findall(path.name)[0]}")
    with disk_errors_in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Indented, UTF-8; what names of files hold beyond that is escaped. Raises as `atomic_write` does."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


def remove_partials(folder: Path) -> None:
    """Removes what processes of this host that no longer run were writing into `folder` when they were killed."""
    name = re.compile(rf"{re.escape(_prefix())}(\d+)\.[0-9a-f]{{8}}(\.\w+)*", re.ASCII)
    for file in folder.iterdir() if folder.is_dir() else ():
        if (found := name.fullmatch(file.name)) and not psutil.pid_exists(int(found[1])):
            file.unlink(missing_ok=True)


def _prefix() -> str:
    return f".partial.{socket.gethostname()}."


def _digest(name: str) -> str:
    """Short, whatever the length of the name: the temporary name must fit into 255 bytes too."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:8]


def _sync(folder: Path) -> None:
    """So that the new name survives a power failure too."""
    with suppress(OSError):  # some platforms and file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
