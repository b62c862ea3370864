"""A disk that is full or may not be written: one sentence, nothing half written, and what was there stays."""

import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from .conftest import LOG, Start, assert_nothing_half_written, assert_same_training, ended

MB = 1024**2


def interrupted(train: Start, folder: Path) -> None:
    """A training run killed after its first epoch."""
    process = train(folder)
    while process.is_alive() and not (folder / "last.pt").exists():
        pass
    process.kill()
    assert ended(process) < 0


def with_files_up_to(size: int, process: BaseProcess) -> BaseProcess:
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    return process


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small disk: give it mount options, and then others."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        again = ["-o", "remount"] if folder.is_mount() else []
        command = ["mount", "-t", "tmpfs", *again, "-o", options, "tmpfs", folder]
        if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a small disk, and not in every container")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_training_that_may_write_no_more_keeps_what_it_has_and_goes_on_later(
    train: Start, left_alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    interrupted(train, folder)
    size = (folder / "last.pt").stat().st_size
    assert ended(with_files_up_to(size // 2, train(folder))) == 1
    assert f"{folder / 'last.pt'} cannot be written: File too large" in (tmp_path / LOG).read_text()
    assert_nothing_half_written(folder)
    assert ended(train(folder)) == 0
    assert_same_training(folder, left_alone)


@pytest.mark.slow
def test_twenty_times_out_of_room_at_any_size_leave_whole_files_and_the_training_goes_on(
    train: Start, left_alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    interrupted(train, folder)
    size, generator = (folder / "last.pt").stat().st_size, random.Random(0)
    for number in range(20):
        assert ended(with_files_up_to(round(size * generator.uniform(0.01, 0.99)), train(folder))) == 1, number
        assert_nothing_half_written(folder)
    assert (tmp_path / LOG).read_text().count("cannot be written: File too large") >= 20
    assert ended(train(folder)) == 0
    assert_same_training(folder, left_alone)


def test_a_full_disk_is_one_sentence_and_room_lets_the_training_go_on(
    train: Start, left_alone: Path, disk: Callable[[str], Path], tmp_path: Path
) -> None:
    room = sum((left_alone / name).stat().st_size for name in ("last.pt", "model.pt"))
    folder = disk(f"size={room + MB // 2}") / "run"  # not enough for a second last.pt beside the first
    log = folder.parent / LOG
    log.symlink_to(tmp_path / LOG)  # which has room
    assert ended(train(folder)) == 1
    words = (tmp_path / LOG).read_text()
    assert "cannot be written: No space left on device" in words
    assert "GB free; make room there, or choose a folder on another disk" in words
    assert_nothing_half_written(folder)
    assert (folder / "last.pt").exists()
    disk(f"size={10 * room}")
    assert ended(train(folder)) == 0
    assert_same_training(folder, left_alone)


def test_masks_on_a_full_disk_are_whole_or_not_there(
    start: Start, left_alone: Path, phantoms: Path, disk: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = disk("size=12k") / "masks"
    (folder.parent / LOG).symlink_to(tmp_path / LOG)
    options = {"input": phantoms / "images", "checkpoint": left_alone / "model.pt"}
    assert ended(start("inference", folder, **options)) == 1
    assert "cannot be written: No space left on device" in (tmp_path / LOG).read_text()
    assert_nothing_half_written(folder)
    disk("size=10m")
    assert ended(start("inference", folder, **options)) == 0
    assert_nothing_half_written(folder)
    assert len(list(folder.glob("*.nii.gz"))) == 8


@pytest.mark.parametrize("run_id", ["training", "inference"])
def test_a_disk_that_may_only_be_read_is_named(
    start: Start, left_alone: Path, disk: Callable[[str], Path], phantoms: Path, tmp_path: Path, run_id: str
) -> None:
    folder = disk("size=1m") / "out"
    (folder.parent / LOG).symlink_to(tmp_path / LOG)
    disk("ro")
    options = {"checkpoint": left_alone / "model.pt", "input": phantoms / "images"} if run_id == "inference" else {}
    assert ended(start(run_id, folder, **options)) == 1
    assert str(folder) in (tmp_path / LOG).read_text()
    assert "Read-only file system" in (tmp_path / LOG).read_text()


def test_a_folder_that_is_not_there_is_made(train: Start, tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "run"
    assert ended(train(folder, max_epochs=1)) == 0
    assert_nothing_half_written(folder)
