"""An output folder -> ours alone, until this process ends."""

import errno
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .disk_errors import disk_errors_in_words

logger = logging.getLogger(__name__)

NAME = ".lock"
CANNOT_LOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_held: dict[Path, FileLock] = {}


def lock_folder(folder: str | Path) -> None:
    """Makes the folder and locks it, or raises RuntimeError when another process has done so.

    The system lets go of the lock however the process ends; the file `.lock` stays behind and means nothing by itself. Locking
    a folder again in the same process is no error. Of several processes of one training only the first may call this.
    """
    path = Path(folder).resolve() / NAME
    if path in _held:
        return
    _held[path] = _locked(folder)


def require_unlocked(folder: str | Path) -> None:
    """Raises RuntimeError when another process has locked the folder; before somebody else is started who will lock it."""
    path = Path(folder).resolve() / NAME
    if path.exists() and path not in _held:
        _locked(folder).release()


def _locked(folder: str | Path) -> FileLock:
    path = Path(folder).resolve() / NAME
    lock = FileLock(path, blocking=False, fallback_to_soft=False)  # soft: a file that stays locked after a kill
    try:
        with disk_errors_in_words(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    except Timeout as error:
        raise RuntimeError(
            f"{folder} belongs to another run that is still writing to it ({_holder(path)}); wait until it ends, or choose "
            "another output folder"
        ) from error
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            raise
        logger.warning("%s: its file system has no locks; make sure that no other run writes there", folder)
    return lock


def _holder(path: Path) -> str:
    with suppress(OSError):  # Windows lets nobody else read a locked file
        return path.read_text() or "a process that just began"
    return "another process"
