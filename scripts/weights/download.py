"""large_files.yml -> the files that it lists, each with the sha256 that the list gives, or nothing under its name.

MONAI's `download_large_files` reads the same list but starts from the first byte after every interruption, tries once and
waits for a silent server for ever: too little for 375 MB over a poor line.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

import requests
import yaml
from tqdm import tqdm

from ..files.file_digest import file_digest

logger = logging.getLogger(__name__)

TIMEOUT = 30.0  # s without a byte from the server
PAUSES = (1.0, 3.0, 10.0)  # s between attempts that bring nothing new
CHUNK = 2**16  # bytes; at most so many are fetched again after an interruption
TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}  # and all of 5xx


@dataclass(frozen=True)
class LargeFile:
    path: Path  # in the bundle's folder
    url: str
    sha256: str


class DownloadError(OSError):
    """One sentence: what went wrong, and how to get the file by other means."""


class Interrupted(Exception):
    """A failure that another attempt may not meet."""


def read_large_files(path: Path) -> list[LargeFile]:
    """MONAI's list, of which every file must have a sha256 and stay in the bundle's folder."""
    if not path.is_file():
        raise FileNotFoundError(f"no list of files at {path}; start in this bundle's folder, or give --large_files PATH")
    try:
        return [_checked(**entry) for entry in yaml.safe_load(path.read_text())["large_files"]]
    except (yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must hold `large_files`, a list of path, url, hash_type and hash_val: {' '.join(str(error).split())}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _checked(path: str, url: str, hash_type: str = "", hash_val: str = "") -> LargeFile:
    if hash_type != "sha256" or not re.fullmatch("[0-9a-f]{64}", hash_val):
        raise ValueError(
            f"{path} must have hash_type sha256 and its 64 lower-case digits as hash_val, got {hash_type} {hash_val}"
        )
    if Path(path).is_absolute() or ".." in Path(path).parts or not Path(path).name:
        raise ValueError(f"path must stay in the bundle's folder, got {path!r}")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"url must start with https:// or http://, got {url!r}")
    return LargeFile(Path(path), url, hash_val)


def download(file: LargeFile, folder: Path, timeout: float = TIMEOUT, pauses: Sequence[float] = PAUSES) -> Path:
    """The path of the file in `folder`, fetched unless it is there and undamaged.

    What an interrupted download leaves, `.partial.NAME` beside it, the next one goes on with, also after a kill.
    timeout: seconds without a byte after which an attempt is given up; pauses: seconds before each further attempt.
    """
    target = folder / file.path
    partial = target.with_name(f".partial.{target.name}")
    if target.is_file():
        if file_digest(target) == file.sha256:
            logger.info("%s is there already, and undamaged", target)
            return target
        logger.warning("%s is damaged, its sha256 is not %s: downloading it again", target, file.sha256)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (partial.is_file() and file_digest(partial) == file.sha256):  # else it was killed just before the renaming
            _fetch_verified(file, partial, timeout, pauses)
        with partial.open("rb") as content:
            os.fsync(content.fileno())
        os.replace(partial, target)
    except (OSError, ValueError) as error:
        raise DownloadError(
            f"{error}. Start the same command again, or fetch {file.url} by other means and put it at {target}; "
            f"its sha256 must be {file.sha256}"
        ) from error
    logger.info("%s is whole, sha256 %s", target, file.sha256)
    return target


def _fetch_verified(file: LargeFile, partial: Path, timeout: float, pauses: Sequence[float]) -> None:
    transfer = Transfer(file.url, partial, timeout)
    transfer.run(pauses)
    if transfer.resumed and file_digest(partial) != file.sha256:
        logger.warning("%s: its parts do not belong together; once more from the first byte", partial)
        partial.unlink()
        transfer.run(pauses)
    if (found := file_digest(partial)) != file.sha256:
        size = partial.stat().st_size
        partial.unlink()
        raise ValueError(f"{file.url} gave {size} bytes with sha256 {found}: damaged on the way, or another file by now")


class Transfer:
    """One URL -> one file, by as many requests as it takes; the sha256 is not looked at."""

    def __init__(self, url: str, partial: Path, timeout: float) -> None:
        self.url = url
        self.partial = partial
        self.timeout = timeout
        self.resumed = False  # the file is put together from several answers
        self.version: tuple[str | None, int | None] | None = None  # ETag and size on the server, once known
        self.session = requests.Session()
        if url.startswith("https://"):
            del self.session.adapters["http://"]  # requests then refuses a redirect to http

    def run(self, pauses: Sequence[float]) -> None:
        """Attempts until the file is complete, or as many as there are pauses in a row, and one, brought nothing new."""
        largest, failures = self._size(), 0
        while True:
            try:
                return self._attempt()
            except Interrupted as error:
                failures = 0 if self._size() > largest else failures + 1
                largest = max(largest, self._size())
                if failures > len(pauses):
                    raise ConnectionError(f"{self.url}: {error}, also after {len(pauses)} further attempts") from error
                pause = pauses[max(failures, 1) - 1]
                logger.warning("%s: %s; going on in %g s", self.url, error, pause)
                time.sleep(pause)

    def _attempt(self) -> None:
        start = self._size()
        headers = {"Accept-Encoding": "identity"}  # positions in a compressed answer would not be those in the file
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with self.session.get(self.url, headers=headers, stream=True, timeout=self.timeout) as response:
                self._require_file(response)
                start, total = self._begin(response, start)
                self._require_space(start, total)
                self._append(response, start, total)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise Interrupted(f"no connection, or a broken one ({_reason(error)})") from error
        except requests.RequestException as error:
            raise ConnectionError(f"{self.url} cannot be followed: {error}") from error
        if total is not None and self._size() < total:
            raise Interrupted(f"the answer ended after {self._size()} of {total} bytes")

    def _require_file(self, response: requests.Response) -> None:
        status = response.status_code
        answer = f"the server answered {status} {response.reason}"
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._start_again(answer)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in TRY_AGAIN:
            raise Interrupted(answer)
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise ConnectionError(f"{self.url}: {answer}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise ConnectionError(f"{self.url}: the server sent a web page in place of the file")

    def _begin(self, response: requests.Response, start: int) -> tuple[int, int | None]:
        """The position in the file of the answer's first byte, and the size of the whole file if the server says it."""
        etag = response.headers.get("ETag")
        if response.status_code == HTTPStatus.OK:  # the whole file, also where the rest was asked for
            self.partial.unlink(missing_ok=True)
            length = response.headers.get("Content-Length")
            self.resumed, self.version = False, (etag, int(length) if length else None)
            return 0, self.version[1]
        content_range = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content_range)
        if match is None or int(match[1]) != start:
            self._start_again(f"the server answered with another part ({content_range}) than the one from byte {start} on")
        version = (etag, int(match[2]))
        if self.version not in (None, version):
            self._start_again("the file changed on the server")
        self.resumed, self.version = start > 0, version
        return start, version[1]

    def _start_again(self, reason: str) -> NoReturn:
        self.partial.unlink(missing_ok=True)
        self.version = None
        raise Interrupted(f"{reason}: starting from the first byte")

    def _require_space(self, start: int, total: int | None) -> None:
        folder = self.partial.parent
        needed, free = (total or 0) - start, shutil.disk_usage(folder).free
        if needed > free:
            raise OSError(f"{folder} has {free / 1e6:.1f} MB free, the rest of {self.url} takes {needed / 1e6:.1f} MB")

    def _append(self, response: requests.Response, start: int, total: int | None) -> None:
        name = self.url.rsplit("/", 1)[-1]
        with (
            self.partial.open("ab") as file,
            # disable=None: no bar in a log file
            tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=None) as progress,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))

    def _size(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0


def _reason(error: Exception) -> str:
    """`NameResolutionError`, `ReadTimeoutError` ...: what is inside, since the message of requests is a paragraph."""
    inner = error.args[0] if error.args else error
    return type(getattr(inner, "reason", inner)).__name__
