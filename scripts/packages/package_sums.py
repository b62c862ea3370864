"""The sha256 of every file of a package, in the file that `sha256sum --check` reads."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..files.atomic_write import atomic_write
from ..files.file_digest import file_digest
from .package_files import PACKED_AGAIN, SUMS

LINE = re.compile(r"([0-9a-f]{64})  (\S+)", re.ASCII)


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """names: of all files, with slashes."""
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in sorted(names)]
    with atomic_write(folder / SUMS) as temporary:
        temporary.write_text("".join(lines), encoding="ascii", newline="\n")


def require_sums(folder: Path, names: Iterable[str], fetched: str | None = None) -> None:
    """Raises ValueError unless `names` are exactly the files that are listed, and each is as it was.

    fetched: a name that may be missing in the list.
    """
    sums = _read_sums(folder)
    there = {*names} - {SUMS}
    if unlisted := sorted(there - sums.keys() - {fetched}):
        raise ValueError(f"{folder}: {unlisted[0]} is not listed in {SUMS}, so it was added later; {PACKED_AGAIN}")
    _require_digests(folder, sums)


def require_undamaged(bundle_root: str | Path) -> None:
    """The first step of a run: where the bundle is a package, every file that its SHA256SUMS lists must be as it was.

    That finds damage. Whether a package may be trusted is for `sam3d unpack` to say, before anything in it runs.

    Args:
        bundle_root: the folder of the bundle; one without SHA256SUMS is no package, and is not looked at.

    Raises:
        ValueError: which names the file that differs or is missing.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.packages import require_undamaged
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "SHA256SUMS").write_text(f"{'0' * 64}  LICENSE")
        ...     require_undamaged(folder)
        Traceback (most recent call last):
            ...
        ValueError: ...: LICENSE, which SHA256SUMS lists, is missing; ask its sender for it again
    """
    folder = Path(bundle_root)
    if (folder / SUMS).is_file():
        _require_digests(folder, _read_sums(folder))


def _require_digests(folder: Path, sums: dict[str, str]) -> None:
    for name, digest in sums.items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name}, which {SUMS} lists, is missing; {PACKED_AGAIN}")
        if file_digest(folder / name) != digest:
            raise ValueError(f"{folder}: {name} is not what {SUMS} says, it was changed or damaged; {PACKED_AGAIN}")


def _read_sums(folder: Path) -> dict[str, str]:
    sums: dict[str, str] = {}
    for line in (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        found = LINE.fullmatch(line)
        if not found or found[2] in sums or ".." in found[2] or found[2].startswith("/"):
            raise ValueError(
                f"{folder / SUMS} must list each file once as SHA256 and NAME, found {line[:100]!r}; {PACKED_AGAIN}"
            )
        sums[found[2]] = found[1]
    return sums
