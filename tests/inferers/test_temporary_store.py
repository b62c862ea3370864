"""What is appended is read back, in any parts."""

import errno
import io
import tempfile

import pytest
import torch

from scripts.inferers import TemporaryStore


class FullDisk(io.BytesIO):
    def write(self, *_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", FullDisk)
    with pytest.raises(OSError, match=r"writing to .* failed .*No space left.*set TMPDIR"):
        TemporaryStore().append(torch.zeros(1, 1, 2, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_part_is_read_as_it_was_appended(dtype: torch.dtype) -> None:
    volume = torch.randn(2, 3, 11, 4, 5).to(dtype)
    store = TemporaryStore()
    for part in volume.split([4, 1, 6], 2):
        store.append(part)
    assert store.depth == 11
    for start, stop in [(0, 11), (3, 6), (10, 11), (0, 1)]:
        part = store.read(start, stop)
        assert part.dtype == dtype
        assert torch.equal(part, volume[:, :, start:stop])


def test_two_stores_do_not_share_their_slices() -> None:
    first, second = TemporaryStore(), TemporaryStore()
    first.append(torch.zeros(1, 1, 2, 2, 2))
    second.append(torch.ones(1, 1, 2, 2, 2))
    assert not first.read(0, 2).any()
