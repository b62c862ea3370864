"""A file under its final name is always whole."""

import gc
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib import pyplot

from scripts.files.atomic_write import atomic_write, remove_partials


def test_the_new_content_replaces_the_old_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "masks" / "metrics.csv"
    for content in ("old", "new"):
        with atomic_write(path) as temporary:
            temporary.write_text(content)
            assert not path.exists() if content == "old" else path.read_text() == "old"
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error_that_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["mask.nii.gz", "model.pt", "report.json", f"{'a' * 64}.safetensors"])
def test_the_temporary_file_has_the_suffixes_and_the_folder(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as temporary:
        temporary.touch()
        assert temporary.name.endswith(name[name.index(".") :])
        assert temporary.parent == tmp_path  # a rename is atomic within one file system only


@pytest.mark.parametrize("name", ["n" * 248 + ".nii.gz", "n." + "x" * 253, "." + "x" * 254, "ü" * 125 + ".json", "no suffix"])
def test_a_name_may_be_as_long_as_file_systems_allow(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("whole")
        assert len(os.fsencode(temporary.name)) < 128
    assert (tmp_path / name).read_text() == "whole"


def test_long_names_that_end_alike_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    first, second = (tmp_path / f"{'n' * 200}{number}.csv" for number in (1, 2))
    with atomic_write(first) as one, atomic_write(second) as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert (first.read_text(), second.read_text()) == ("1", "2")


WRITE_FOREVER = """
import sys, time
from pathlib import Path
from scripts.files.atomic_write import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(100)
"""


def test_only_leftovers_of_dead_processes_of_this_host_are_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_FOREVER, tmp_path / "mask.nii.gz"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        left = Path(process.stdout.readline().strip())
        theirs = [tmp_path / left.name.replace(socket.gethostname(), "elsewhere"), tmp_path / "mask.nii.gz", tmp_path / ".lock"]
        for path in theirs:
            path.write_text("theirs")
        remove_partials(tmp_path)
        assert left.exists(), "its process still runs"
        process.kill()
    assert left.exists()
    remove_partials(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(theirs)
    remove_partials(tmp_path / "not there yet")


WRITERS = {
    "image.nii.gz": lambda path: nib.save(nib.Nifti1Image(np.random.default_rng(0).random((64, 64, 8)), np.eye(4)), path),
    "image.nii": lambda path: nib.save(nib.Nifti1Image(np.ones((64, 64, 8)), np.eye(4)), path),
    "model.pt": lambda path: torch.save(torch.zeros(40000), path),
    "report.json": lambda path: path.write_text("[]" * 40000),
    "plot.png": lambda path: pyplot.imsave(path, np.random.default_rng(0).random((200, 200, 3))),
}


@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")  # see the end
@pytest.mark.parametrize("name", WRITERS)
def test_no_writer_hides_that_its_file_was_cut(tmp_path: Path, name: str) -> None:
    """A limit of 64 kB on the size of files stands for the full disk; tests/faults has a real one."""
    path = tmp_path / name
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises((OSError, RuntimeError)) as error, atomic_write(path) as temporary:
            WRITERS[name](temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"
    if isinstance(error.value, OSError):
        assert f"{path} cannot be written: File too large" in str(error.value)
    del error
    gc.collect()  # nibabel leaves a file open that it could not write: Python warns of it here, not in a later test


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that may be read; root, who may write anywhere, is nobody meanwhile."""
    (tmp_path / "closed").mkdir(mode=0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield tmp_path / "closed"
    os.seteuid(user)


def test_a_folder_that_may_not_be_written_is_named_with_what_to_do(closed: Path) -> None:
    for path in (closed / "a.csv", closed / "further" / "a.csv"):
        words = f"{path} cannot be written: Permission denied, .*; choose a folder that you may write to"
        with pytest.raises(PermissionError, match=words), atomic_write(path) as temporary:
            temporary.write_text("a")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match=r"a/b\.csv cannot be written"), atomic_write(tmp_path / "a" / "b.csv"):
        pass
