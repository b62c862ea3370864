"""Slices of a layer's result -> a temporary file, and back: what memory does not hold."""

import tempfile
import weakref

import torch


class TemporaryStore:
    """Consecutive slices (B, C, d, h, w), depth first in a file without a name, which goes with the store.

    The file lies in Python's temporary folder (the environment variable TMPDIR, else /tmp).

    Raises:
        OSError: when that disk is full.

    Example:
        >>> import torch
        >>> from scripts.inferers import TemporaryStore
        >>> store = TemporaryStore()
        >>> features = torch.rand(1, 8, 6, 2, 3)
        >>> store.append(features[:, :, :4])
        >>> store.append(features[:, :, 4:])
        >>> store.depth, torch.equal(store.read(2, 6), features[:, :, 2:6])
        (6, True)
    """

    def __init__(self) -> None:
        self.depth = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the store lives
        weakref.finalize(self, self._file.close)

    def append(self, part: torch.Tensor) -> None:
        slices = part.movedim(2, 0).contiguous()  # (d, B, C, h, w)
        self._like = slices[:1]
        self._file.seek(self.depth * self._like.nbytes)
        try:
            self._file.write(slices.cpu().view(torch.uint8).numpy().data)
            self._file.flush()
        except OSError as error:
            folder = tempfile.gettempdir()
            raise OSError(
                f"a volume that does not fit into memory needs temporary files, and writing to {folder} failed ({error}); set "
                "TMPDIR to a folder on a larger disk"
            ) from error
        self.depth += len(slices)

    def read(self, start: int, stop: int) -> torch.Tensor:
        slices = torch.empty(stop - start, *self._like.shape[1:], dtype=self._like.dtype)
        self._file.seek(start * self._like.nbytes)
        self._file.readinto(slices.view(torch.uint8).numpy().data)
        return slices.to(self._like.device).movedim(0, 2)
