"""A file is overwritten only if this bundle wrote it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.files.own_file import refuse_foreign


def begins_with_ours(path: Path) -> bool:
    return path.read_text().startswith("ours")


def test_nothing_and_a_file_of_ours_may_be_overwritten(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "a", begins_with_ours)
    (tmp_path / "a").write_text("ours")
    refuse_foreign(tmp_path / "a", begins_with_ours)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("theirs"),
        lambda path: path.write_bytes(b"\xff"),
        lambda path: path.symlink_to("nothing"),
        Path.mkdir,
        os.mkfifo,
    ],
    ids=["a text", "no text", "a link to nothing", "a folder", "a pipe"],
)
def test_anything_else_is_refused_by_name(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path / "a")
    with pytest.raises(FileExistsError, match=r"/a is there and was not written by this bundle.*output folder"):
        refuse_foreign(tmp_path / "a", begins_with_ours)
