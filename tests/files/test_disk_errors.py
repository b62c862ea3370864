"""An error of the disk says which file, how much room there is and what to do."""

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from scripts.files.disk_errors import disk_errors_in_words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device, 4.2 GB free; make room there, or choose a folder on another disk"),
        (errno.EDQUOT, "Disk quota exceeded, 4.2 GB free; make room there"),
        (errno.EFBIG, "File too large, 4.2 GB free; make room there"),
        (errno.EROFS, "Read-only file system, 4.2 GB free; choose a folder that you may write to"),
        (errno.EACCES, "Permission denied, 4.2 GB free; choose a folder that you may write to"),
        (errno.EPERM, "Operation not permitted, 4.2 GB free; choose a folder that you may write to"),
        (
            errno.ENOENT,
            "No such file or directory, 4.2 GB free; its folder must be one that can be made, and stay",
        ),
        (errno.EIO, "Input/output error, 4.2 GB free; choose another folder"),
    ],
)
def test_the_error_keeps_its_kind_and_says_file_room_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(8e9, 3.8e9, 4.2e9))
    path = tmp_path / "mask.nii.gz"
    with pytest.raises(OSError, match=f"{path} cannot be written: {words}") as caught, disk_errors_in_words(path):
        raise OSError(number, "whatever", str(path))
    assert caught.value.errno == number
    assert type(caught.value) is type(OSError(number, ""))


def test_the_room_of_a_folder_that_is_not_there_is_that_of_its_parent(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\d GB free"), disk_errors_in_words(tmp_path / "a" / "b" / "c.csv"):
        raise OSError(errno.EACCES, "", str(tmp_path / "a"))


def test_errors_of_other_files_and_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "no such file", "/elsewhere/a.nii"), OSError("limit"), ValueError("limit")):
        with pytest.raises(type(error)) as caught, disk_errors_in_words(tmp_path / "b.nii"):
            raise error
        assert caught.value is error
