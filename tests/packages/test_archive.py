"""A package as one file: always the same bytes, and it is unpacked into its own folder or not at all."""

import io
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.packages.archive import write_archive
from scripts.packages.check_package import check_package
from scripts.tools.unpack import unpack

Entries = list[tuple[zipfile.ZipInfo | str, bytes]]


def entries_of(archive: Path) -> Entries:
    with zipfile.ZipFile(archive) as opened:
        return [(entry, opened.read(entry)) for entry in opened.infolist()]


def rewritten(archive: Path, path: Path, change: Callable[[Entries], Entries]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for entry, content in change(entries_of(archive)):
            opened.writestr(entry, content)
    return path


def added(name: str, content: bytes = b"evil", attributes: int = 0) -> Callable[[Entries], Entries]:
    entry = zipfile.ZipInfo(name)
    entry.filename = name  # as it is: ZipInfo replaces os.sep and cuts at zero bytes
    entry.external_attr = attributes << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return lambda entries: [*entries, (entry, content)]


HOSTILE_ARCHIVES = {
    "out of its folder": (added("mine_bundle/../../evil.py"), "is no name within the one folder"),
    "out at once": (added("../evil.py"), "is no name within the one folder"),
    "absolute": (added("/tmp/evil.py"), "is no name within the one folder"),
    "a disk": (added("C:/evil.py"), "is no name within the one folder"),
    "backslashes": (added("mine_bundle\\..\\..\\evil.py"), "is no name within the one folder"),
    "beside its folder": (added("other/evil.py"), "is no name within the one folder"),
    "no name": (added("mine_bundle//evil.py"), "is no name within the one folder"),
    "a link": (added("mine_bundle/docs/report.html", b"/etc/passwd", stat.S_IFLNK | 0o777), "is a link or a folder"),
    "a device": (added("mine_bundle/docs/report.html", b"", stat.S_IFCHR | 0o666), "is a link or a folder"),
    "a folder": (added("mine_bundle/scripts/"), "is no name within the one folder"),
    "one name in two cases": (added("mine_bundle/License"), "are one file on some disks"),
    "one name twice": (added("mine_bundle/LICENSE"), "are one file on some disks"),
    "what no package has": (added("mine_bundle/sitecustomize.py"), "'sitecustomize.py' is no file of a package"),
    "a name with a sign": (added("mine_bundle/scripts/evil\u202epy.py"), "is no file of a package"),
    "a bomb": (added("mine_bundle/docs/report.html", bytes(3_000_000)), "would become more than 100 times as large"),
    "surplus code": (added("mine_bundle/scripts/evil.py"), "scripts/evil.py is not listed"),
    "nothing": (lambda _: [], "is no whole package"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # Python's, where such an archive is made
@pytest.mark.parametrize("name", HOSTILE_ARCHIVES)
def test_an_archive_that_leaves_its_folder_or_hides_something_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    change, reason = HOSTILE_ARCHIVES[name]
    archive = rewritten(packed.with_suffix(".zip"), tmp_path / "hostile.zip", change)
    with pytest.raises(ValueError, match=reason):
        unpack(archive, tmp_path / "inner" / "unpacked")
    assert [path for path in tmp_path.rglob("*") if path != archive and path.is_file()] == []
    assert not (tmp_path / "inner" / "unpacked").exists()


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"no zip", lambda content: b""])
def test_a_damaged_archive_is_refused(packed: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    archive = tmp_path / "damaged.zip"
    archive.write_bytes(damage(packed.with_suffix(".zip").read_bytes()))
    with pytest.raises(ValueError, match="cannot be read as a zip file"):
        unpack(archive, tmp_path / "unpacked")
    assert [*tmp_path.iterdir()] == [archive]


def test_bytes_that_changed_on_the_way_are_noticed(packed: Path, tmp_path: Path) -> None:
    content = bytearray(packed.with_suffix(".zip").read_bytes())
    content[content.index(b"mine_bundle/models/model.pt") + 5000] ^= 1
    archive = tmp_path / "changed.zip"
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"models/model\.pt cannot be unpacked"):
        unpack(archive, tmp_path / "unpacked")
    assert [*tmp_path.iterdir()] == [archive]


def test_what_was_packed_comes_out_and_is_packed_to_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    unpack(packed.with_suffix(".zip"), tmp_path / "other_name")
    files = [path.relative_to(packed) for path in packed.rglob("*") if path.is_file()]
    assert all((packed / file).read_bytes() == (tmp_path / "other_name" / file).read_bytes() for file in files)
    check_package(tmp_path / "other_name")
    again = tmp_path / "mine_bundle"
    shutil.copytree(packed, again)  # other times
    write_archive(again, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.with_suffix(".zip").read_bytes()


def test_the_archive_is_what_monais_download_unpacks(packed: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed.with_suffix(".zip").read_bytes())) as archive:
        assert archive.testzip() is None
        assert {name.partition("/")[0] for name in archive.namelist()} == {"mine_bundle"}
