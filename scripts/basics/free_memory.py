"""The memory that this process may still take: of the machine, and of the container that it runs in."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")  # as a container sees its own
# Limit, use, and the part of `memory.stat` that the kernel gives back when it is needed: pages of files, not used of late.
VERSIONS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(cgroups: Path = CGROUPS) -> int:
    """In bytes. psutil sees the machine alone: in a container with a limit the kernel would end the process.

    cgroups: the folder in which Linux shows the limits of control groups, of version 1 or 2; it need not be there.
    """
    return min([psutil.virtual_memory().available, *_left_of_limits(cgroups)])


def _left_of_limits(cgroups: Path) -> Iterator[int]:
    for limit, use, reclaimable in VERSIONS:
        with suppress(OSError, ValueError):  # not there, or no limit: the word max
            left = int((cgroups / limit).read_text()) - int((cgroups / use).read_text())
            yield max(left + _stat((cgroups / use).with_name("memory.stat"), reclaimable), 0)


def _stat(path: Path, name: str) -> int:
    with suppress(OSError):
        return next((int(line.split()[1]) for line in path.read_text().splitlines() if line.split()[:1] == [name]), 0)
    return 0
