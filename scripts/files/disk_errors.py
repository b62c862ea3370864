"""An OSError while a file is written -> the same error, with the file, the room on its disk and what to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAKE_ROOM = "make room there, or choose a folder on another disk"
MAY_NOT = "choose a folder that you may write to"
REMEDIES = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EFBIG: MAKE_ROOM,  # a limit on the size of files: of the file system, or of this process
    errno.EROFS: MAY_NOT,
    errno.EACCES: MAY_NOT,
    errno.EPERM: MAY_NOT,
    errno.ENOENT: "its folder must be one that can be made, and stay",
}


@contextmanager
def disk_errors_in_words(path: Path) -> Iterator[None]:
    """For a block that writes `path`: errors of other folders pass as they are."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not (error.filename is None or _concerns(Path(str(error.filename)), path)):
            raise
        remedy = REMEDIES.get(error.errno, "choose another folder")
        reason = f"{os.strerror(error.errno)}, {_room(path.absolute().parent)}; {remedy}"
        raise OSError(error.errno, f"{path} cannot be written: {reason}") from error


def _concerns(file: Path, path: Path) -> bool:
    """Whether `file` lies beside `path` or is one of its folders."""
    return file.parent == path.parent or file in path.parents


def _room(folder: Path) -> str:
    for place in (folder, *folder.parents):  # the folder may not be there
        with suppress(OSError):
            return f"{shutil.disk_usage(place).free / 1e9:.3g} GB free"
    return "free space unknown"
