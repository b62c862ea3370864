"""Free is what the machine has left and what the container's limit leaves, whichever is less."""

from pathlib import Path

import psutil
import pytest

from scripts.basics.free_memory import free_memory

GB = 10**9


@pytest.fixture(autouse=True)
def ten_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=10 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def cgroups(folder: Path, version: int, limit: str, use: int, stat: str) -> Path:
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    place = folder if version == 2 else folder / "memory"
    place.mkdir(exist_ok=True)
    for name, content in zip((*names, "memory.stat"), (limit, str(use), stat), strict=True):
        (place / name).write_text(f"{content}\n")
    return folder


STATS = {2: "anon 5\ninactive_file 500000000\nactive_file 7", 1: "inactive_file 5\ntotal_inactive_file 500000000"}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("limit", "use", "free"),
    [
        (4 * GB, 3 * GB, 1.5 * GB),  # of which half a gigabyte is pages of files
        (4 * GB, 4 * GB, 0.5 * GB),
        (3 * GB, 4 * GB, 0),  # the limit was lowered
        (64 * GB, 3 * GB, 10 * GB),
        (9223372036854771712, 3 * GB, 10 * GB),  # version 1 has no word for no limit
    ],
)
def test_a_limit_of_the_container_counts(tmp_path: Path, version: int, limit: int, use: int, free: float) -> None:
    assert free_memory(cgroups(tmp_path, version, str(limit), use, STATS[version])) == free


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "none") == 10 * GB
    assert free_memory(tmp_path) == 10 * GB
    assert free_memory(cgroups(tmp_path, 2, "max", 3 * GB, STATS[2])) == 10 * GB


def test_without_statistics_no_page_counts_as_free(tmp_path: Path) -> None:
    folder = cgroups(tmp_path, 2, str(4 * GB), 3 * GB, "")
    assert free_memory(folder) == GB
    (folder / "memory.stat").unlink()
    assert free_memory(folder) == GB
