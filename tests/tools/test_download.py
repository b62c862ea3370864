"""`sam3d download` puts what is listed where the runs look for it."""

import functools
import hashlib
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from conftest import ROOT

from scripts.tools import download as tool

from .conftest import Typed

CONTENT = b"weights" * 10_000


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A list of two files that a server has."""
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
    assert "[default: (the bundle's folder)]" in " ".join(typed("download", "--help").split())
    assert tool.BUNDLE_ROOT == ROOT


@pytest.mark.usefixtures("listed")
def test_a_name_that_is_not_listed_is_refused_with_those_that_are(typed: Typed) -> None:
    assert "large_files.yml lists no c.pth, only a.pth, b.pth" in typed("download", "--only", "c.pth", fails=True)
