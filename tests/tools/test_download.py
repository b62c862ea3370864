"""`sam3d download` puts what is listed where the runs look for it."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from conftest import ROOT
from markdown_tables import read_tables

from scripts.tools import download as tool
from scripts.weights.encoder_files import BY_NAME

from .conftest import Typed

CONTENT = b"weights" * 10_000


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A list of two files that a server has, and the encoder `mobile_sam` there."""
    (tmp_path / "server").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        lines = ["large_files:"]
        for name in ("a.pth", "b.pth"):
            (tmp_path / "server" / name).write_bytes(CONTENT)
            address = f"http://127.0.0.1:{server.server_port}/{name}"
            lines += [f"  - path: models/{name}", f"    url: {address}", "    hash_type: sha256"]
            lines += [f"    hash_val: {hashlib.sha256(CONTENT).hexdigest()}"]
        address = f"http://127.0.0.1:{server.server_port}/a.pth"
        published = replace(BY_NAME["mobile_sam"], url=address, sha256=hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setitem(BY_NAME, "mobile_sam", published)
        (tmp_path / "large_files.yml").write_text("\n".join(lines))
        monkeypatch.setattr(tool, "LIST", tmp_path / "large_files.yml")
        yield
        server.shutdown()


@pytest.mark.usefixtures("listed")
def test_all_files_or_one_of_them_are_downloaded(tmp_path: Path, typed: Typed) -> None:
    typed("download", "--only", "b.pth", "--output", tmp_path / "one")
    assert [path.name for path in (tmp_path / "one" / "models").iterdir()] == ["b.pth"]
    typed("download", "--output", tmp_path / "all")
    assert {path.name: path.read_bytes() for path in (tmp_path / "all" / "models").iterdir()} == {
        "a.pth": CONTENT,
        "b.pth": CONTENT,
    }


def test_by_default_the_files_go_where_the_runs_look_for_them(typed: Typed) -> None:
    assert tool.LIST == ROOT / "large_files.yml"
    words = "[default: (the bundle's folder; of a bundle that pip installed, the user's cache)]"
    assert words in " ".join(typed("download", "--help").split())
    assert tool.WEIGHTS == ROOT


@pytest.mark.usefixtures("listed")
def test_a_name_that_is_not_listed_is_refused_with_those_that_are(typed: Typed) -> None:
    assert "large_files.yml lists no c.pth, only a.pth, b.pth" in typed("download", "--only", "c.pth", fails=True)


@pytest.mark.usefixtures("listed")
def test_an_encoder_is_downloaded_by_its_name(tmp_path: Path, typed: Typed) -> None:
    typed("download", "mobile_sam", "--output", tmp_path / "one")
    assert {path.name: path.read_bytes() for path in (tmp_path / "one" / "models").iterdir()} == {"mobile_sam.pt": CONTENT}


@pytest.mark.parametrize("name", ["medsam", "sam_med2d", "ft_sam"])
def test_an_encoder_without_a_published_sum_is_not_downloaded_but_where_to_get_it_is_said(
    tmp_path: Path, typed: Typed, name: str
) -> None:
    entry = BY_NAME[name]
    said = typed("download", "vit_l", name, "--output", tmp_path, fails=True)  # refused before anything is fetched
    assert f"{entry.file} is not downloaded, because its publishers give no sha256" in said
    assert f"by hand from {entry.url} and put it at {tmp_path / 'models' / entry.file}" in said
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_no_encoder_is_refused_with_a_close_one(typed: Typed) -> None:
    said = typed("download", "mobilesam", fails=True)
    assert "'mobilesam' is none of the encoders; did you mean mobile_sam" in said
    assert all(name in said for name in BY_NAME)


def test_names_and_only_do_not_go_together(typed: Typed) -> None:
    assert "no effect beside names of encoders" in typed("download", "vit_b", "--only", "a.pth", fails=True)


def test_the_page_of_the_encoders_lists_every_file_with_its_licence_sum_and_size() -> None:
    rows = {row["name"].strip("`"): row for row in read_tables((ROOT / "docs" / "encoders.md").read_text())["Files"]}
    assert rows.keys() == BY_NAME.keys()
    for name, entry in BY_NAME.items():
        row = rows[name]
        assert entry.file in row["file"]
        assert row["licence"] == entry.licence
        assert (f"{entry.size:,}" if entry.size else "not known") == row["bytes"]
        assert (f"`{entry.sha256}`" if entry.sha256 else "none") in row["sha256"]
