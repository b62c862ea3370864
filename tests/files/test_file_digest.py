"""A file's digest is that of its bytes as they are now, and unchanged files are read once."""

import hashlib
import os
from pathlib import Path

import pytest

from scripts.files.file_digest import file_digest


def changed(path: Path, content: bytes) -> None:
    """Written a second later than what was there."""
    later = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize("content", [b"", b"a", os.urandom(3 * 2**20)], ids=["nothing", "a byte", "3 MiB"])
def test_the_digest_is_sha256_of_the_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == file_digest(str(tmp_path / "file")) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"abd", b"ab", b"abcd"], ids=["one bit", "shorter", "longer"])
def test_a_change_is_noticed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    before = file_digest(tmp_path / "file")
    changed(tmp_path / "file", content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest() != before


def test_another_file_put_in_its_place_is_noticed(tmp_path: Path) -> None:
    for name, content in (("file", b"abc"), ("other", b"xyz")):
        (tmp_path / name).write_bytes(content)
        file_digest(tmp_path / name)
    os.utime(tmp_path / "other", ns=(5, 5))
    (tmp_path / "other").replace(tmp_path / "file")
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"xyz").hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    """Its bytes are exchanged under the same size and time, which no program does by accident."""
    (tmp_path / "file").write_bytes(b"abc")
    before, status = file_digest(tmp_path / "file"), (tmp_path / "file").stat()
    (tmp_path / "file").write_bytes(b"xyz")
    os.utime(tmp_path / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_digest(tmp_path / "file") == before


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="lost"):
        file_digest(tmp_path / "lost")
