"""A package's folder <-> one zip file: always the same bytes, and never a file outside its folder."""

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from ..files.atomic_write import atomic_write
from .package_files import PACKED_AGAIN, files_of, require_package_file

OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip has no time that is none
READABLE = (stat.S_IFREG | 0o644) << 16
UNIX = 3
DENSEST = 100  # times that a file may be larger than it is in the archive; configs and code are about 5
STORED = (".pt", ".pth", ".safetensors")  # numbers of networks do not get smaller


def write_archive(folder: Path, path: Path) -> None:
    """Of the same package always the same bytes: times, owners and the order of a file system are left out."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in files_of(folder):
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", OLDEST)
            entry.external_attr, entry.create_system = READABLE, UNIX
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(STORED) else zipfile.ZIP_DEFLATED
            entry.file_size = (folder / name).stat().st_size  # so that large files get room for their length
            with (folder / name).open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


def unpack_archive(path: Path, folder: Path) -> None:
    """Writes the files of the one folder in the archive to `folder`, which must not be there.

    Every name and size is looked at before anything is written. Raises ValueError for what no package has.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as a zip file ({error}); {PACKED_AGAIN}") from error
    with archive:
        names = _checked_names(archive, path)
        folder.mkdir(parents=True)
        for entry, name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with archive.open(entry) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
            except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
                raise ValueError(f"{path}: {name} cannot be unpacked ({error}); {PACKED_AGAIN}") from error


def _checked_names(archive: zipfile.ZipFile, path: Path) -> list[tuple[zipfile.ZipInfo, str]]:
    """Entries with their names below the archive's one folder."""
    names: list[tuple[zipfile.ZipInfo, str]] = []
    seen: dict[str, str] = {}
    folder = PurePosixPath(archive.namelist()[0]).parts[:1] if archive.namelist() else ()
    for entry in archive.infolist():
        full = entry.orig_filename  # zipfile cuts `filename` at a zero byte
        parts = full.split("/")
        if "\\" in full or ":" in full or not all(parts) or {".", ".."} & {*parts} or tuple(parts[:1]) != folder:
            raise ValueError(f"{path}: {full!r} is no name within the one folder of a package; {PACKED_AGAIN}")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.is_dir():
            raise ValueError(f"{path}: {full!r} is a link or a folder, and a package holds files alone; {PACKED_AGAIN}")
        if full.casefold() in seen:
            raise ValueError(f"{path}: {full!r} and {seen[full.casefold()]!r} are one file on some disks; {PACKED_AGAIN}")
        seen[full.casefold()] = full
        name = full.partition("/")[2]
        require_package_file(name, path)
        names.append((entry, name))
    sizes = [(entry.file_size, entry.compress_size) for entry, _ in names]
    sizes.append((sum(size for size, _ in sizes), path.stat().st_size))  # entries may share their bytes
    if any(size > DENSEST * packed for size, packed in sizes):
        raise ValueError(f"{path} would become more than {DENSEST} times as large, as no package does; {PACKED_AGAIN}")
    return names
