"""A file -> the sha256 of its bytes, computed once as long as it stays unchanged; and that of several texts."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path


def file_digest(path: str | Path) -> str:
    """In hexadecimal. Unchanged: the same path, size and time of change."""
    status = os.stat(path)
    return _digest_of(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _digest_of(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: str | bytes) -> str:
    """sha256 of the parts, told apart by their lengths."""
    result = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        result.update(len(data).to_bytes(8, "big") + data)
    return result.hexdigest()
