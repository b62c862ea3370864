"""A download ends with the right file, or with a plain error and nothing under the final name, whatever the server does."""

import hashlib
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import requests
from conftest import ROOT

from scripts.weights.download import LargeFile, download, read_large_files

CONTENT = random.Random(0).randbytes(300_000)
CUT = 200_000  # where answers are cut
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = Path("models/sam.pth")


class Server(ThreadingHTTPServer):
    """Serves CONTENT as good servers do, after the `faults`: one for each of the first requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Fault] = []
        self.requests = 0
        self.stalling, self.over = Event(), Event()
        self.url = f"http://127.0.0.1:{self.server_port}/sam.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        fault = self.server.faults.pop(0) if self.server.faults else good
        fault(self)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} if headers is None else headers).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


Fault = Callable[[Handler], None]
WHOLE = {"Content-Length": str(len(CONTENT))}


def good(handler: Handler) -> None:
    handler.answer(200, CONTENT)


def cut(handler: Handler) -> None:
    handler.answer(200, CONTENT[:CUT], WHOLE)


def refused(handler: Handler) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True


def stalled(handler: Handler) -> None:
    cut(handler)
    handler.server.stalling.set()
    handler.server.over.wait()


def silent(handler: Handler) -> None:
    handler.server.over.wait()


def flipped_bit(handler: Handler) -> None:
    handler.answer(200, bytes([CONTENT[0] ^ 1]) + CONTENT[1:])


def too_long(handler: Handler) -> None:
    handler.answer(200, CONTENT + b"x")


def without_length(handler: Handler) -> None:
    handler.answer(200, CONTENT, {})


def without_length_and_cut(handler: Handler) -> None:
    handler.answer(200, CONTENT[:CUT], {})


def status(number: int) -> Fault:
    return lambda handler: handler.answer(number, b"sorry")


def web_page(handler: Handler) -> None:
    """As of a hotel's network that wants a login."""
    handler.answer(200, b"<html>Log in</html>")


def redirect_to_itself(handler: Handler) -> None:
    handler.answer(302, b"", {"Location": handler.server.url, "Content-Length": "0"})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time", type("NoPauses", (), {"sleep": lambda seconds: None}))
    with Server() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def fetch(server: Server, folder: Path) -> Path:
    return download(LargeFile(PATH, server.url, SHA256), folder)


def assert_right(folder: Path) -> None:
    assert (folder / PATH).read_bytes() == CONTENT
    assert os.listdir(folder / "models") == ["sam.pth"]


def assert_refused(server: Server, folder: Path, reason: str) -> None:
    """By one sentence that says how to get the file by other means, with nothing left."""
    with pytest.raises(OSError, match=reason) as error:
        fetch(server, folder)
    for word in (server.url, str(folder / PATH), SHA256, "by other means"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert os.listdir(folder / "models") == []


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [status(500), status(429)],
        [refused, cut, status(503)],
        [flipped_bit, too_long, without_length_and_cut],
        [without_length],
        [web_page],
        [redirect_to_itself],
    ],
    ids=lambda faults: "-".join(fault.__name__ for fault in faults) or "none",
)
def test_faults_that_pass_end_with_the_right_file(server: Server, tmp_path: Path, faults: list[Fault]) -> None:
    server.faults = list(faults)
    assert fetch(server, tmp_path) == tmp_path / PATH
    assert_right(tmp_path)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(404), "404 Client Error: Not Found"),
        (status(500), "500 Server Error"),
        (cut, "Connection broken: IncompleteRead"),
        (refused, "Connection aborted"),
        (silent, "Read timed out"),
        (stalled, "Read timed out"),
        (flipped_bit, "what came has another sha256"),
        (too_long, "what came has another sha256"),
        (without_length_and_cut, "what came has another sha256"),
        (web_page, "what came has another sha256"),
        (redirect_to_itself, "Exceeded 30 redirects"),
    ],
)
def test_a_fault_that_stays_is_said_with_what_to_do_by_hand(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, reason: str
) -> None:
    if fault in (silent, stalled):
        monkeypatch.setattr("scripts.weights.download.TIMEOUT", 0.3)
    server.faults = [fault] * 200
    assert_refused(server, tmp_path, reason)


def test_without_a_server_the_error_says_what_to_fetch_and_where_to_put_it(server: Server, tmp_path: Path) -> None:
    server.server_close()
    assert_refused(server, tmp_path, "Connection refused")


def test_a_file_that_is_there_and_right_is_left(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    fetch(server, tmp_path)
    assert server.requests == 1


def test_a_damaged_file_is_replaced_only_by_the_right_one(server: Server, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / PATH).write_bytes(b"damaged")
    server.faults = [flipped_bit] * 4
    with pytest.raises(OSError, match="sha256"):
        fetch(server, tmp_path)
    assert (tmp_path / PATH).read_bytes() == b"damaged"
    fetch(server, tmp_path)
    assert_right(tmp_path)


def test_a_disk_without_space_is_said_with_what_to_do(server: Server, tmp_path: Path) -> None:
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, hard))
    try:
        assert_refused(server, tmp_path, rf"{tmp_path / PATH} cannot be written: File too large.*make room there")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert server.requests == 1


def test_every_user_of_the_machine_may_read_the_file(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path).stat().st_mode & 0o777 == 0o644


def test_https_is_not_left_for_http(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = requests.adapters.HTTPAdapter.send

    def send(adapter: Any, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if not request.url.startswith("https:"):
            return original(adapter, request, **options)
        response = original(adapter, requests.Request("GET", server.url).prepare(), **options)
        response.request, response.url = request, request.url
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    server.faults = [redirect_to_itself] * 4
    with pytest.raises(OSError, match=r"leads from https to http://"):
        download(LargeFile(PATH, "https://example.org/sam.pth", SHA256), tmp_path)
    assert server.requests == 4  # of https, none of http


def test_while_it_is_fetched_and_after_a_kill_nothing_lies_under_its_name(server: Server, tmp_path: Path) -> None:
    server.faults = [stalled]
    entry = f"LargeFile(Path({str(PATH)!r}), {server.url!r}, {SHA256!r})"
    code = f"from pathlib import Path; from scripts.weights.download import *; download({entry}, Path({str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)
    assert server.stalling.wait(60)
    assert not (tmp_path / PATH).exists()
    process.kill()
    process.communicate()
    assert not (tmp_path / PATH).exists()
    assert download(LargeFile(PATH, server.url, SHA256), tmp_path).read_bytes() == CONTENT


def write_list(file: Path, /, url: str = "https://example.org/sam.pth", **changed: str | None) -> Path:
    entry = {"path": str(PATH), "url": url, "hash_type": "sha256", "hash_val": SHA256, **changed}
    lines = [f"{key}: {value}" for key, value in entry.items() if value is not None]
    file.write_text("large_files:\n  - " + "\n    ".join(lines) + "\n")
    return file


def test_the_list_of_this_bundle_is_read() -> None:
    (file,) = read_large_files(ROOT / "large_files.yml")
    assert file.path == Path("models/sam_vit_b_01ec64.pth")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hash_val": None}, "must have hash_type sha256"),
        ({"hash_val": "abc"}, "must have hash_type sha256"),
        ({"hash_type": "md5"}, "must have hash_type sha256"),
        ({"hash_type": None}, "must have hash_type sha256"),
        ({"path": "../sam.pth"}, "must stay in the bundle's folder"),
        ({"path": "models/../../sam.pth"}, "must stay in the bundle's folder"),
        ({"path": "/etc/sam.pth"}, "must stay in the bundle's folder"),
        ({"path": "."}, "must stay in the bundle's folder"),
        ({"url": "ftp://example.org/sam.pth"}, "must start with https"),
        ({"url": "file:///etc/passwd"}, "must start with https"),
        ({"url": None}, "a list of path, url, hash_type and hash_val"),
        ({"size": "3"}, "a list of path, url, hash_type and hash_val"),
    ],
    ids=lambda value: str(value).replace("/", "_"),
)
def test_an_entry_without_sha256_or_outside_of_the_folder_is_refused(
    tmp_path: Path, changed: dict[str, str | None], reason: str
) -> None:
    path = write_list(tmp_path / "large_files.yml", **changed)
    with pytest.raises(ValueError, match=reason) as error:
        read_large_files(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "large_files: 3", "files: []", "{", "large_files: [a]"])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "large_files.yml").write_text(text)
    with pytest.raises(ValueError, match="must hold `large_files`"):
        read_large_files(tmp_path / "large_files.yml")
