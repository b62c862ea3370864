"""Embeddings and labels of a case under a key -> a file of their own, of which any slices can be read alone."""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ...basics.free_memory import free_memory
from ...files.atomic_write import atomic_write, remove_partials
from ...files.disk_errors import disk_errors_in_words

logger = logging.getLogger(__name__)

IN_MEMORY = "memory"
SUFFIX = ".safetensors"
NAME = re.compile(r"[0-9a-f]{64}\.safetensors")  # other files in the folder are not ours
ABOUT = {"image", "view", "encoder"}
GB = 1e9


class EmbeddingStore:
    """Tensors whose first axis is the depth, in `folder`/KEY.safetensors, memory-mapped when read. Keys are sha256 digests.

    An entry is written beside its place and then renamed, so several processes may fill and read one folder; it carries the
    sha256 of its key and content, so a damaged one, and one under another's name, is noticed.

    Args:
        folder: `memory` keeps everything there instead, for this run.
        limit: GB that all entries may take; None: as much as there is.

    Raises:
        OSError: for a folder that cannot be written.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from scripts.data import EmbeddingStore
        >>> key = 64 * "0"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = EmbeddingStore(folder, limit=1.0)
        ...     size = store.put(key, {"embedding": torch.rand(8, 256, 2, 3).half()}, {"image": "scan.nii.gz"})
        ...     store.is_whole(key), tuple(store.read(key, "embedding", 2, 5).shape)
        (True, (3, 256, 2, 3))
    """

    def __init__(self, folder: str | Path, limit: float | None = None) -> None:
        self.folder = Path(folder)
        self.in_memory = folder == IN_MEMORY
        if not self.in_memory:
            with disk_errors_in_words(self.folder / SUFFIX):  # a folder that cannot be written is found before the work starts
                self.folder.mkdir(parents=True, exist_ok=True)
            remove_partials(self.folder)
        self.limit = limit
        self._memory: dict[str, Mapping[str, torch.Tensor]] = {}

    def put(self, key: str, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> int:
        """Stores an entry.

        Args:
            key: of the entry.
            tensors: depth first.
            about: what a person wants to know of it, see `entries`.

        Returns:
            Its size in bytes.
        """
        size = sum(tensor.nbytes for tensor in tensors.values())
        if self.in_memory:
            self._memory[key] = dict(tensors)
            return size
        text = json.dumps(about, ensure_ascii=False)
        metadata = {"about": text, "sha256": _digest(key, tensors, text)}
        with atomic_write(self._path(key)) as temporary:
            temporary.write_bytes(save(dict(tensors), metadata))  # `save_file` would keep the file from other users
        return size

    def read(self, key: str, name: str, start: int | None = None, stop: int | None = None) -> torch.Tensor:
        """Slices start..stop of one tensor; nothing else is read. Raises OSError where the entry is no longer there."""
        if self.in_memory:
            return self._memory[key][name][start:stop]
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_slice(name)[start:stop]
        except (SafetensorError, OSError) as error:
            raise OSError(f"{path} was removed or changed during this run ({error}); go on by --resume") from error

    def is_whole(self, key: str) -> bool:
        """Whether the entry is there and undamaged; reads all of it. A damaged one is removed with a warning."""
        if self.in_memory:
            return key in self._memory
        path = self._path(key)
        if not os.path.lexists(path):
            return False
        whole = False
        with contextlib.suppress(SafetensorError, KeyError, TypeError, OSError):
            if path.is_file():  # a pipe would be waited for
                with safe_open(path, framework="pt") as file:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    whole = _digest(key, tensors, file.metadata()["about"]) == file.metadata()["sha256"]
        if not whole:
            logger.warning("%s is damaged, or another's, and is computed again", path)
            self.remove(key)
        return whole

    def check_room(self, size: float) -> None:
        """Raises OSError unless `size` more bytes are allowed and, on disk, free."""
        if self.limit is not None and (total := self.size() + size) > self.limit * GB:
            raise OSError(
                f"{self.folder} would hold {total / GB:.3g} GB of embeddings and cache_limit allows {self.limit:g} GB; "
                "raise it, cache fewer views, or clear what is no longer needed (sam3d cache)"
            )
        free = free_memory() if self.in_memory else shutil.disk_usage(self.folder).free
        if size > free:
            raise OSError(
                f"the next embedding takes {size / GB:.3g} GB, {self.folder} has {free / GB:.3g} GB free; give cache_dir a "
                "larger disk or cache fewer views"
            )

    def size(self) -> int:
        """Bytes of all entries, whoever wrote them."""
        if self.in_memory:
            return sum(tensor.nbytes for tensors in self._memory.values() for tensor in tensors.values())
        return sum(size for _, size, _ in self._files())

    def entries(self) -> Iterator[dict[str, Any]]:
        """{key, bytes, modified, and what `about` said, or damaged} of every entry in the folder."""
        for path, size, modified in self._files():
            about: Any = None
            with contextlib.suppress(SafetensorError, KeyError, TypeError, ValueError, OSError, RecursionError):
                if path.is_file():
                    with safe_open(path, framework="pt") as file:
                        about = json.loads(file.metadata()["about"])
            known = about if isinstance(about, dict) and about.keys() >= ABOUT else {"damaged": True}
            yield {**known, "key": path.name.removesuffix(SUFFIX), "bytes": size, "modified": modified}

    def remove(self, key: str) -> None:
        """A folder of that name, which is not ours, is moved aside."""
        path = self._path(key)
        with disk_errors_in_words(path):
            if path.is_dir() and not path.is_symlink():
                path.rename(Path(tempfile.mkdtemp(prefix="aside.", dir=self.folder)) / path.name)
            else:
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Path, bytes and time of change of every entry; other processes may add and remove some meanwhile."""
        for path in sorted(self.folder.iterdir()):
            if NAME.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):
                    status = path.lstat()
                    yield path, status.st_size, status.st_mtime

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"


def _digest(key: str, tensors: Mapping[str, torch.Tensor], about: str) -> str:
    digest = hashlib.sha256(f"{key} {about}".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)  # flat: of an empty one strides mean nothing
    return digest.hexdigest()
