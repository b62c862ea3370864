"""A dictionary of tensors <-> a checkpoint file that notices its own damage, read without running code from it.

The file is torch's zip archive; its zip comment is JSON {"sha256": ..., "about": {...}}, so checksum and settings travel in the
same file, and `torch.load` reads it as it reads any other.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from .atomic_write import atomic_write

BLANK = "0" * 64  # stands for the digest in what is digested: every other byte of the file
GET_IT_AGAIN = "copy it, download it or train it again"
LONGEST_COMMENT = 0xFFFF
ARCHIVE, ARCHIVE_END, ARCHIVE_END_SIZE = b"PK\3\4", b"PK\5\6", 22  # of the zip format


def checkpoints_of(checkpoint: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """One, or all of an ensemble."""
    return [checkpoint] if isinstance(checkpoint, str | Path) else [*checkpoint]


def write_checkpoint(path: Path, state: Mapping[str, Any], about: Mapping[str, Any] = {}) -> None:
    """about: what JSON can hold, for `read_about`. The same state and `about` give the same bytes."""
    comment = json.dumps({"sha256": BLANK, "about": about}, ensure_ascii=False).encode()
    if len(comment) > LONGEST_COMMENT:
        raise ValueError(f"`about` of {path} must fit into {LONGEST_COMMENT} bytes, it takes {len(comment)}; say less in it")
    archive = io.BytesIO()
    torch.save(state, archive)
    archive.seek(-2, os.SEEK_END)  # an archive ends with the length of its comment and the comment; torch writes none
    archive.write(len(comment).to_bytes(2, "little") + comment)
    digest = hashlib.sha256(archive.getbuffer()).hexdigest()
    archive.seek(-len(comment), os.SEEK_END)
    archive.write(comment.replace(BLANK.encode(), digest.encode(), 1))
    with atomic_write(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The tensors, on the CPU, after `read_about` found no damage.

    Raises FileNotFoundError, or ValueError naming the file when it is damaged, unsafe or no dictionary.
    """
    read_about(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged or foreign bytes happen to trigger
        raise ValueError(
            f"{path} cannot be read as a checkpoint of tensors: it is damaged, incomplete, or holds more than weights "
            f"({_reason(error)}); {GET_IT_AGAIN}"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, a checkpoint must be a dictionary of tensors")
    return dict(content)


def weights_digest(path: Path) -> str:
    """sha256 of the names, dtypes, shapes and bytes of the tensors, whatever their order; another `about` leaves it as it is.

    In hexadecimal, computed once as long as the file stays unchanged, see `file_digest`. Raises as `read_checkpoint` does.
    """
    if not path.is_file():
        read_checkpoint(path)  # says so
    status = path.stat()
    return _weights_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1000)
def _weights_digest(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(read_checkpoint(path)), key=lambda named: named[0]):
        digest.update(f"{json.dumps(name)} {tensor.dtype} {[*tensor.shape]}\n".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(content: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """With their names: also of a file of others, which has them in dictionaries and lists of its own."""
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, Mapping | list | tuple):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from _tensors(value, f"{name}/{key}")


def _reason(error: Exception) -> str:
    """Without torch's advice to load the file unsafely."""
    _, unpickling, found = str(error).partition("WeightsUnpickler error: ")
    sentence = (found if unpickling else str(error)).partition("\n")[0].partition(". ")[0]
    return f"{type(error).__name__}: {sentence.strip()}"


def read_about(path: Path) -> dict[str, Any] | None:
    """What `write_checkpoint` was told; None for a file of others. Reads the whole file: raises ValueError if it is damaged.

    Archives of others, such as SAM's, have no sha256 but a CRC-32 of every tensor; torch's format from before 2020 has neither.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one first, or correct the path")
    content = path.read_bytes()
    if not content.startswith(ARCHIVE):
        return None
    try:
        return _verified(content)
    except Exception as error:  # as above, of zipfile and json
        raise ValueError(
            f"{path} cannot be read as a checkpoint: it is damaged or incomplete ({error}); {GET_IT_AGAIN}"
        ) from error


def _verified(content: bytes) -> dict[str, Any] | None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        comment = archive.comment
        end = content[len(content) - len(comment) - ARCHIVE_END_SIZE : len(content) - len(comment)]
        if not (end.startswith(ARCHIVE_END) and end.endswith(len(comment).to_bytes(2, "little"))):
            raise ValueError("its end is cut off, or something follows it")
        if not comment:
            if damaged := archive.testzip():
                raise ValueError(f"the CRC-32 of {damaged} differs")
            return None
    seal = json.loads(comment)
    digest = hashlib.sha256(memoryview(content)[: len(content) - len(comment)])
    digest.update(comment.replace(seal["sha256"].encode(), BLANK.encode(), 1))
    if digest.hexdigest() != seal["sha256"]:
        raise ValueError("its sha256 differs")
    if not isinstance(seal["about"], dict):
        raise ValueError("its settings are no dictionary")
    return seal["about"]
