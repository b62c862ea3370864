"""Layers part by part along the depth against the same layers at once."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import ResidualDecoder
from scripts.networks.depth_stream import convolve, normalise, parts


class Memory:
    """The simplest store."""

    def __init__(self, *volume: torch.Tensor) -> None:
        self.slices = list(volume)

    @property
    def depth(self) -> int:
        return sum(part.shape[2] for part in self.slices)

    def append(self, part: torch.Tensor) -> None:
        self.slices.append(part)

    def read(self, start: int, stop: int) -> torch.Tensor:
        return torch.cat(self.slices, 2)[:, :, start:stop]


@pytest.mark.parametrize("slices", [1, 3, 7, 20])
def test_a_convolution_in_parts_is_the_convolution(slices: int) -> None:
    volume, weight = torch.randn(2, 3, 7, 4, 5).double(), torch.randn(2, 3, 3, 3, 3).double()
    results = convolve(
        Memory(volume), slices, lambda part: F.conv3d(part, weight, padding=(0, 1, 1)), before=lambda part: part + 1
    )
    expected = F.conv3d(volume + 1, weight, padding=1)  # zeros lie around what `before` gives, not around the volume
    assert_close(torch.cat(list(results), 2), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("slices", [1, 3, 7])
def test_normalisation_in_parts_is_instance_normalisation(slices: int) -> None:
    volume = 1000 + torch.randn(2, 3, 7, 4, 5)  # large beside its deviation: where sums of squares would lose all digits
    store = Memory()
    norm = normalise(parts(Memory(volume), slices), store)
    assert torch.equal(store.read(0, 7), volume)
    result = torch.cat([norm(part) for part in parts(store, slices)], 2)
    assert_close(result.double(), F.instance_norm(volume.double()), atol=1e-4, rtol=0)


def test_statistics_of_half_precision_are_not_rounded_to_it() -> None:
    volume = (100 + torch.randn(1, 2, 9, 8, 8)).half()
    norm = normalise(parts(Memory(volume), 4), Memory())
    result = norm(volume)
    assert result.dtype == torch.half
    assert_close(result.float(), F.instance_norm(volume.float()), atol=4e-3, rtol=0)


ORIGINAL = {"shortcut_kernel": 1, "upsample": "nearest", "supervised_stages": 3, "head": "convolutional", "conv_bias": True}


@pytest.mark.parametrize("options", [pytest.param({}, id="default"), pytest.param(ORIGINAL, id="original")])
@pytest.mark.parametrize(("depth", "slices"), [(1, 4), (7, 1), (7, 3), (16, 16)])
def test_a_streamed_decoder_is_the_decoder(options: dict[str, Any], depth: int, slices: int) -> None:
    decoder = ResidualDecoder(12, 3, (16, 8, 8, 4), **options).double()
    embeddings = torch.randn(1, 12, 3, 2, depth, dtype=torch.double)
    logits = list(decoder.stream(Memory(embeddings.movedim(-1, 2)), Memory, slices))
    assert {part.shape[-1] for part in logits[:-1]} <= {slices}
    assert_close(torch.cat(logits, -1), decoder(embeddings)[0], atol=1e-10, rtol=0)


def test_streaming_refuses_a_single_position_in_words() -> None:
    decoder = ResidualDecoder(12, 3, (16, 8, 8, 4))
    with pytest.raises(ValueError, match="single position"):
        next(decoder.stream(Memory(torch.randn(1, 12, 1, 1, 1)), Memory, 4))
