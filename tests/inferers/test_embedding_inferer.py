"""Each slice is encoded once; windows are blended as MONAI's sliding window does; streaming does not change the mask."""

import numpy as np
import pytest
import torch
from conftest import NARROW
from monai.inferers import SlidingWindowInferer
from monai.transforms import SpatialPad
from torch import nn

from scripts.inferers import EmbeddingInferer
from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random


def blended_windows(network: SAM3D, volume: torch.Tensor, roi_depth: int, overlap: float) -> torch.Tensor:
    """An implementation of our own: windows one by one, weighted by a Gaussian whose sigma is an eighth of the window."""
    height, width, depth = volume.shape[2:]
    embeddings = network.encoder(volume)
    bells = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in (height, width, roi_depth)]
    weight = torch.tensor(np.maximum(np.einsum("i,j,k->ijk", *bells), 1e-3), dtype=volume.dtype)  # 1e-3: MONAI's least weight
    step = max(int(roi_depth * (1 - overlap)), 1)
    first_slices = [*range(0, depth - roi_depth, step), depth - roi_depth]
    total, weights = 0, torch.zeros(height, width, depth)
    for first in first_slices:
        window = slice(first, first + roi_depth)
        logits = network.decoder(embeddings[..., window])[0][:, :, :height, :width]
        total = total + nn.functional.pad(logits * weight, (first, depth - first - roi_depth))
        weights[..., window] += weight
    return total / weights


@pytest.mark.parametrize("depth", [1, 5, 6])
def test_a_volume_of_one_window_is_what_the_network_says_of_it_padded_as_in_training(narrow_network: SAM3D, depth: int) -> None:
    volume = torch.rand(1, 1, 40, 33, depth)
    padded = SpatialPad((-1, -1, 6))(volume[0])[None]  # the first of the random transforms of configs/train.json
    first = (6 - depth) // 2
    with torch.no_grad():
        expected = narrow_network(padded.as_tensor())[..., first : first + depth]
        assert torch.equal(EmbeddingInferer(roi_depth=6)(volume, narrow_network), expected)


@pytest.mark.parametrize(
    ("shape", "roi_depth", "overlap"),
    [
        ((32, 48, 11), 4, 0.5),
        ((40, 33, 9), 4, 0.25),  # whole patches: 48 x 48
        ((17, 70, 7), 6, 0.5),  # 32 x 80
        ((33, 16, 10), 3, 0.0),
        ((20, 40, 6), 2, 0.9),
    ],
)
def test_windows_are_blended_as_defined(
    narrow_network: SAM3D, shape: tuple[int, int, int], roi_depth: int, overlap: float
) -> None:
    volume = torch.rand(2, 1, *shape)
    with torch.no_grad():
        logits = EmbeddingInferer(roi_depth, overlap=overlap)(volume, narrow_network)
        expected = blended_windows(narrow_network, volume, roi_depth, overlap)
        whole = narrow_network(volume)
    assert logits.shape == (2, 4, *shape)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert (logits - whole).abs().max() > 0.01  # windows and the whole volume are different masks


@pytest.mark.parametrize("depth", [4, 5, 17])
def test_each_slice_is_encoded_once_and_windows_have_the_depth_of_training(narrow_network: SAM3D, depth: int) -> None:
    encoded: list[torch.Tensor] = []
    decoded: list[int] = []
    narrow_network.encoder.register_forward_hook(lambda _, inputs, output: encoded.append(inputs[0]))
    narrow_network.decoder.register_forward_hook(lambda _, inputs, output: decoded.append(inputs[0].shape[-1]))
    volume = torch.rand(1, 1, 32, 32, depth)
    with torch.no_grad():
        EmbeddingInferer(roi_depth=4)(volume, narrow_network)
    assert torch.equal(torch.cat(encoded, -1), volume)
    assert set(decoded) == {4}
    assert len(decoded) == max(1, -(-(depth - 4) // 2) + 1)  # half of each window overlaps


@pytest.mark.parametrize("mode", ["windows", "whole"])
@pytest.mark.parametrize("depth", [3, 9, 40])
def test_streaming_gives_the_same_logits(narrow_network: SAM3D, mode: str, depth: int) -> None:
    volume = torch.rand(1, 1, 40, 33, depth)
    with torch.no_grad():
        at_once = EmbeddingInferer(roi_depth=6, mode=mode, memory=1)(volume, narrow_network)
        narrow_network.decoder.register_forward_pre_hook(lambda *_: pytest.fail("not streamed"))
        streamed = EmbeddingInferer(roi_depth=6, mode=mode, memory=0)(volume, narrow_network)
    torch.testing.assert_close(streamed, at_once, atol=1e-4, rtol=0)


def test_the_mode_whole_is_the_network_on_the_whole_volume(narrow_network: SAM3D) -> None:
    volume = torch.rand(1, 1, 40, 33, 9)
    with torch.no_grad():
        assert torch.equal(EmbeddingInferer(roi_depth=4, mode="whole")(volume, narrow_network), narrow_network(volume))


def test_an_unknown_mode_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="must be 'windows' or 'whole', got 'half'"):
        EmbeddingInferer(roi_depth=4, mode="half")


@pytest.mark.parametrize("mode", ["windows", "whole"])
@pytest.mark.parametrize("at_most", [1, 3, 11])
def test_a_device_out_of_memory_is_asked_for_less_and_gives_the_same_mask(
    narrow_network: SAM3D, mode: str, at_most: int, caplog: pytest.LogCaptureFixture
) -> None:
    volume = torch.rand(1, 1, 40, 33, 20)
    with torch.no_grad():
        expected = EmbeddingInferer(roi_depth=16, mode=mode)(volume, narrow_network)

        def run_out(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if inputs[0].shape[-1] > at_most:
                raise torch.OutOfMemoryError("no room")

        narrow_network.encoder.register_forward_pre_hook(run_out)
        logits = EmbeddingInferer(roi_depth=16, mode=mode)(volume, narrow_network)
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert "out of memory" in caplog.text


def test_a_device_without_room_for_a_single_slice_is_an_error(narrow_network: SAM3D) -> None:
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    narrow_network.encoder.register_forward_pre_hook(run_out)
    with torch.no_grad(), pytest.raises(torch.OutOfMemoryError):
        EmbeddingInferer(roi_depth=4)(torch.rand(1, 1, 32, 32, 9), narrow_network)


@pytest.mark.parametrize(("bytes_per_voxel", "streams"), [(100, False), (300, True)])
def test_what_fits_is_as_much_as_the_decoder_says_that_it_takes(
    narrow_network: SAM3D, bytes_per_voxel: int, streams: bool
) -> None:
    volume = torch.rand(1, 1, 32, 32, 9)
    decoded: list[int] = []
    narrow_network.decoder.register_forward_hook(lambda _, inputs, output: decoded.append(1))
    narrow_network.decoder.bytes_per_voxel = bytes_per_voxel
    with torch.no_grad():
        EmbeddingInferer(roi_depth=9, memory=200 * volume.numel() / 1e9)(volume, narrow_network)
    assert (not decoded) == streams


@pytest.fixture
def mixing_network() -> SAM3D:
    """Whose encoder has strong adapters between slices."""
    encoder = SAMSliceEncoder(NARROW, adapter_width=4)
    fill_at_random(encoder, seed=0, std=0.2)
    return SAM3D(encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4))).eval()


@torch.no_grad()
def test_where_the_encoder_mixes_slices_each_window_is_encoded_as_in_training(mixing_network: SAM3D) -> None:
    volume = torch.rand(1, 1, 32, 48, 11)
    expected = SlidingWindowInferer((32, 48, 4), overlap=0.5, mode="gaussian")(volume, mixing_network)
    for memory in (None, 0):  # decoded at once, and streamed
        logits = EmbeddingInferer(4, memory=memory)(volume, mixing_network)
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("slices", [None, 1, 3])
def test_where_the_encoder_mixes_slices_parts_of_the_computation_do_not_change_the_mask(
    mixing_network: SAM3D, slices: int | None
) -> None:
    volume = torch.rand(1, 1, 32, 48, 11)
    whole = EmbeddingInferer(4, mode="whole", memory=0)._logits(volume, mixing_network, slices)
    torch.testing.assert_close(whole, mixing_network(volume), atol=1e-4, rtol=1e-4)
    windows = EmbeddingInferer(4, memory=0)
    mixing_network.encoder.memory = 1e-9  # one slice at a time
    logits = windows._logits(volume, mixing_network, slices)
    mixing_network.encoder.memory = None
    torch.testing.assert_close(logits, EmbeddingInferer(4)(volume, mixing_network), atol=1e-4, rtol=1e-4)
