"""large_files.yml, or the name of an encoder -> the files, each with the sha256 that is known, or nothing under its name."""

import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
import yaml

from ..files.disk_errors import disk_errors_in_words
from .encoder_files import BY_NAME

logger = logging.getLogger(__name__)

MODELS = Path("models")  # in the bundle's folder, where the configs look for weights
TIMEOUT = 30.0  # s without a byte from the server


@dataclass(frozen=True)
class LargeFile:
    path: Path  # in the bundle's folder
    url: str
    sha256: str


def read_large_files(path: Path) -> list[LargeFile]:
    """MONAI's list, of which every file must have a sha256 and stay in the bundle's folder."""
    if not path.is_file():
        raise FileNotFoundError(f"no list of files at {path}")
    try:
        return [_checked(**entry) for entry in yaml.safe_load(path.read_text())["large_files"]]
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} must hold `large_files`, a list of path, url, hash_type and hash_val: {' '.join(str(error).split())}"
        ) from error


def _checked(path: str, url: str, hash_type: str = "", hash_val: str = "") -> LargeFile:
    if hash_type != "sha256" or not re.fullmatch("[0-9a-f]{64}", hash_val):
        raise ValueError(f"{path} must have hash_type sha256, 64 lower-case digits as hash_val, got {hash_type} {hash_val}")
    if Path(path).is_absolute() or ".." in Path(path).parts or not Path(path).name:
        raise ValueError(f"path must stay in the bundle's folder, got {path!r}")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"url must start with https:// or http://, got {url!r}")
    return LargeFile(Path(path), url, hash_val)


def encoder_file(name: str, folder: Path) -> LargeFile:
    """Of a published encoder, for the bundle's folder. Raises ValueError for one without a sha256: how to get it by hand."""
    entry = BY_NAME[name]
    if entry.sha256 is None:
        raise ValueError(
            f"{entry.file} is not downloaded, because its publishers give no sha256 by which to tell whether the right file "
            f"came. {entry.how_to_get(folder / MODELS / entry.file)}"
        )
    return LargeFile(MODELS / entry.file, entry.url, entry.sha256)


def download(file: LargeFile, folder: Path) -> Path:
    """The path of the file in `folder`, fetched unless it is there and undamaged.

    It gets its name once its sha256 is right. Raises OSError, one sentence that says how to get the file by other means.
    """
    target = folder / file.path
    registry, urls = {target.name: file.sha256}, {target.name: file.url}
    fetcher = pooch.create(target.parent, base_url="", registry=registry, urls=urls, retry_if_failed=3)
    try:
        with disk_errors_in_words(target):
            fetcher.fetch(target.name, downloader=_fetch)  # pyright: ignore[reportArgumentType] pooch's own do not fit either
    except (OSError, ValueError) as error:
        reason = error if isinstance(error, OSError) else "what came has another sha256: damaged, or another file by now"
        raise OSError(
            f"{file.url} could not be downloaded ({reason}); start the same command again, or fetch it by other means and put "
            f"it at {target}, where its sha256 must be {file.sha256}"
        ) from error
    logger.info("%s is there, and its sha256 is right", target)
    return target


def _fetch(url: str, temporary: str, _: pooch.Pooch) -> None:
    options = {"timeout": TIMEOUT, "hooks": {"response": _stay_encrypted}}
    pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=2**16, **options)(url, temporary, None)
    Path(temporary).chmod(0o644)  # pooch lets its owner alone read it, but weights are for all users of a machine


def _stay_encrypted(response: requests.Response, **_: object) -> None:
    target = response.headers.get("Location", "")
    if response.url.startswith("https:") and target.lower().startswith("http:"):
        raise requests.exceptions.InvalidSchema(f"the server leads from https to {target}")
