"""A download ends with the right file, or with a plain error and nothing under the final name, whatever the server does."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import requests
from conftest import ROOT

from scripts.weights.download import CHUNK, LargeFile, download, read_large_files

CONTENT = random.Random(0).randbytes(5 * CHUNK + 123)
CUT = 3 * CHUNK  # where answers are cut
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH, PARTIAL = Path("models/sam.pth"), Path("models/.partial.sam.pth")


class Server(ThreadingHTTPServer):
    """Serves CONTENT as good servers do, after the `faults`: one for each of the first requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Fault] = []
        self.ranges: list[str | None] = []  # what each request asked for
        self.over = Event()
        self.url = f"http://127.0.0.1:{self.server_port}/sam.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        fault = self.server.faults.pop(0) if self.server.faults else Handler.good
        fault(self, int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0)

    def good(self, start: int, content: bytes = CONTENT, etag: str = '"1"', end: int | None = None) -> None:
        """end: where the connection is cut."""
        part = content[start:]
        if start and not part:
            return self.answer(416, b"")
        headers = {"ETag": etag, "Content-Length": str(len(part))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(206 if start else 200, content[start:end], headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


Fault = Callable[[Handler, int], None]


def cut(handler: Handler, start: int) -> None:
    handler.good(start, end=CUT)


def cut_soon(handler: Handler, start: int) -> None:
    handler.good(start, end=start + CHUNK)


def refused(handler: Handler, start: int) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True


def stalled(handler: Handler, start: int) -> None:
    handler.answer(200, CONTENT[:CUT], {"Content-Length": str(len(CONTENT)), "ETag": '"1"'})
    handler.server.over.wait()


def silent(handler: Handler, start: int) -> None:
    handler.server.over.wait()


def flipped_bit(handler: Handler, start: int) -> None:
    handler.good(start, bytes([CONTENT[0] ^ 1]) + CONTENT[1:])


def too_short(handler: Handler, start: int) -> None:
    handler.good(start, CONTENT[:-1])


def too_long(handler: Handler, start: int) -> None:
    handler.good(start, CONTENT + b"x")


def without_length(handler: Handler, start: int) -> None:
    handler.answer(200, CONTENT, {"ETag": '"1"'})


def without_length_and_cut(handler: Handler, start: int) -> None:
    handler.answer(200, CONTENT[:CUT], {"ETag": '"1"'})


def status(number: int) -> Fault:
    return lambda handler, start: handler.answer(number, b"sorry")


def web_page(handler: Handler, start: int) -> None:
    handler.answer(200, b"<html>Log in</html>", {"Content-Type": "text/html; charset=utf-8", "Content-Length": "19"})


def range_ignored(handler: Handler, start: int) -> None:
    handler.good(0)


def another_part(handler: Handler, start: int) -> None:
    handler.answer(
        206,
        CONTENT[1:],
        {"Content-Range": f"bytes 1-{len(CONTENT) - 1}/{len(CONTENT)}", "Content-Length": str(len(CONTENT) - 1)},
    )


def part_not_said(handler: Handler, start: int) -> None:
    handler.answer(206, CONTENT[start:])


def redirect_to_itself(handler: Handler, start: int) -> None:
    handler.answer(302, b"", {"Location": handler.server.url, "Content-Length": "0"})


def old_file_cut(handler: Handler, start: int) -> None:
    handler.good(start, CONTENT[::-1], etag='"0"', end=CUT)


def old_file_cut_without_etag(handler: Handler, start: int) -> None:
    handler.answer(200, CONTENT[::-1][:CUT], {"Content-Length": str(len(CONTENT))})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def fetch(server: Server, folder: Path) -> Path:
    return download(LargeFile(PATH, server.url, SHA256), folder, timeout=0.3, pauses=(0.0, 0.0))


def assert_right(folder: Path) -> None:
    assert (folder / PATH).read_bytes() == CONTENT
    assert os.listdir(folder / "models") == ["sam.pth"]


def assert_refused(server: Server, folder: Path, reason: str) -> None:
    """By an error that says how to get the file by other means, with nothing under its name."""
    with pytest.raises(OSError, match=reason) as error:
        fetch(server, folder)
    for word in (server.url, str(folder / PATH), SHA256):
        assert word in str(error.value)
    assert not (folder / PATH).exists()


REST = f"bytes={CUT}-"


# faults of the first requests, and what every request asks for
PASSING: dict[str, tuple[list[Fault], list[str | None]]] = {
    "no fault": ([], [None]),
    "cut": ([cut], [None, REST]),
    "cut again and again": ([cut_soon] * 5, [None, *(f"bytes={n * CHUNK}-" for n in range(1, 6))]),
    "cut, then 503": ([cut, status(503)], [None, REST, REST]),
    "500": ([status(500)], [None, None]),
    "429": ([status(429)], [None, None]),
    "connection refused": ([refused], [None, None]),
    "no answer": ([silent], [None, None]),
    "stalled": ([stalled], [None, REST]),
    "range ignored": ([cut, range_ignored], [None, REST]),
    "another part than asked for": ([cut, another_part], [None, REST, None]),
    "a part without its position": ([cut, part_not_said], [None, REST, None]),
    "416": ([cut, status(416)], [None, REST, None]),
    "changed on the server": ([old_file_cut], [None, REST, None]),
    "changed, no ETag": ([old_file_cut_without_etag], [None, REST, None]),
    "no length": ([without_length], [None]),
}


@pytest.mark.parametrize(("faults", "ranges"), PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_ends_with_the_right_file_and_nothing_is_fetched_twice_without_need(
    server: Server, tmp_path: Path, faults: list[Fault], ranges: list[str | None]
) -> None:
    server.faults = list(faults)
    assert fetch(server, tmp_path) == tmp_path / PATH
    assert_right(tmp_path)
    assert server.ranges == ranges


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(404), "the server answered 404 Not Found"),
        (status(500), "the server answered 500 .*, also after 2 further attempts"),
        (status(416), "416"),
        (refused, "no connection, or a broken one .* also after 2 further attempts"),
        (silent, "ReadTimeout"),
        (flipped_bit, f"gave {len(CONTENT)} bytes with sha256 .*: damaged on the way"),
        (too_short, f"gave {len(CONTENT) - 1} bytes"),
        (too_long, f"gave {len(CONTENT) + 1} bytes"),
        (without_length_and_cut, f"gave {CUT} bytes"),
        (web_page, "a web page in place of the file"),
        (redirect_to_itself, "cannot be followed: Exceeded 30 redirects"),
        (old_file_cut, "no connection, or a broken one"),
    ],
)
def test_a_fault_that_stays_is_said_with_what_to_do_by_hand(server: Server, tmp_path: Path, fault: Fault, reason: str) -> None:
    server.faults = [fault] * 100
    assert_refused(server, tmp_path, reason)


def test_after_an_interruption_that_stays_the_next_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.faults = [cut, *[refused] * 3]
    assert_refused(server, tmp_path, "no connection")
    assert (tmp_path / PARTIAL).stat().st_size == CUT
    fetch(server, tmp_path)
    assert_right(tmp_path)
    assert server.ranges[-1] == REST


def test_a_web_page_does_not_cost_what_was_fetched(server: Server, tmp_path: Path) -> None:
    """As of a hotel's network that wants a login."""
    server.faults = [cut, web_page]
    assert_refused(server, tmp_path, "web page")
    assert (tmp_path / PARTIAL).read_bytes() == CONTENT[:CUT]


def test_without_a_server_the_error_says_what_to_fetch_and_where_to_put_it(server: Server, tmp_path: Path) -> None:
    server.server_close()
    assert_refused(server, tmp_path, "NewConnectionError.* by other means and put it at")


@pytest.mark.parametrize(
    "leftover",
    [CONTENT[:CUT], CONTENT, CONTENT + b"more", b"other" * 9999, b""],
    ids=["part", "all", "longer", "other", "empty"],
)
def test_any_leftover_of_an_earlier_download_ends_with_the_right_file(server: Server, tmp_path: Path, leftover: bytes) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / PARTIAL).write_bytes(leftover)
    fetch(server, tmp_path)
    assert_right(tmp_path)
    assert (server.ranges == []) == (leftover == CONTENT)


def test_a_file_that_is_there_and_right_is_left(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    fetch(server, tmp_path)
    assert len(server.ranges) == 1


def test_a_damaged_file_is_named_and_replaced_only_by_the_right_one(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / PATH).write_bytes(b"damaged")
    server.faults = [status(404)]
    with pytest.raises(OSError, match="404"):
        fetch(server, tmp_path)
    assert (tmp_path / PATH).read_bytes() == b"damaged"
    assert f"{tmp_path / PATH} is damaged" in caplog.text
    fetch(server, tmp_path)
    assert_right(tmp_path)


def test_a_disk_without_space_is_refused_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert_refused(server, tmp_path, rf"{tmp_path / 'models'} has 0\.3 MB free, the rest of .* takes 0\.3 MB")
    assert os.listdir(tmp_path / "models") == []


def test_for_the_rest_of_a_file_only_its_space_is_needed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / PARTIAL).write_bytes(CONTENT[:CUT])
    usage = shutil.disk_usage(tmp_path)._replace(free=len(CONTENT) - CUT)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    fetch(server, tmp_path)
    assert_right(tmp_path)


def test_https_is_not_left_for_http(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = requests.adapters.HTTPAdapter.send

    def send(adapter: Any, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if not request.url.startswith("https:"):
            return original(adapter, request, **options)
        response = original(adapter, requests.Request("GET", server.url).prepare(), **options)
        response.request, response.url = request, request.url
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    server.faults = [redirect_to_itself]
    with pytest.raises(OSError, match=r"cannot be followed: .* 'http://"):
        download(LargeFile(PATH, "https://example.org/sam.pth", SHA256), tmp_path)
    assert len(server.ranges) == 1
    server.faults = [redirect_to_itself]
    fetch(server, tmp_path)  # from http it may go to http
    assert_right(tmp_path)


# The list and the command


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
