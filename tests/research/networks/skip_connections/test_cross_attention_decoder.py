"""CrossAttentionDecoder: which channels go where, and what its attention sees."""

from collections.abc import Sequence

import pytest
import torch
from conftest import NARROW
from torch import nn
from torch.testing import assert_close

from scripts.inferers import TemporaryStore
from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
from scripts.research.networks.skip_connections.cross_attention_decoder import CrossAttentionDecoder
from scripts.research.networks.skip_connections.dual_cross_attention import DualCrossAttention

ENCODER_CHANNELS = [5, 3, 3]  # of the neck and of two blocks
MODALITIES, REDUCED = 2, 4


class Unchanged(nn.Module):
    def __init__(self, channels: Sequence[int], spatial_dims: int) -> None:
        super().__init__()
        self.made_for = (list(channels), spatial_dims)

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        return levels


class Passed(nn.Identity):
    """A decoder that gives back what it is given."""

    bytes_per_voxel = 110


def refinement(attention: type[nn.Module] = DualCrossAttention, spatial_dims: int = 2) -> CrossAttentionDecoder:
    """What the decoder would get."""
    return CrossAttentionDecoder(Passed(), attention, ENCODER_CHANNELS, MODALITIES, REDUCED, spatial_dims).eval()


def random_embeddings(depth: int = 6) -> torch.Tensor:
    return torch.randn(2, MODALITIES * sum(ENCODER_CHANNELS), 3, 4, depth)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_decoder_gets_the_necks_channels_and_then_every_block_reduced(spatial_dims: int) -> None:
    module, embeddings = refinement(Unchanged, spatial_dims), random_embeddings()
    first, second = embeddings.chunk(MODALITIES, 1)
    blocks = [torch.cat([first[:, 5:8], second[:, 5:8]], 1), torch.cat([first[:, 8:], second[:, 8:]], 1)]
    expected = [first[:, :5], second[:, :5]]
    for reduction, block in zip(module.reductions, blocks, strict=True):
        weight, bias = reduction.weight.flatten(1), reduction.bias.view(-1, 1, 1, 1)
        expected.append(torch.einsum("oc,bchwd->bohwd", weight, block) + bias)
    assert module.attention.made_for == ([REDUCED, REDUCED], spatial_dims)
    assert_close(module(embeddings), torch.cat(expected, 1))


def test_attention_within_slices_does_not_see_other_slices() -> None:
    module, embeddings = refinement(), random_embeddings()
    assert_close(module(embeddings)[..., 2:4], module(embeddings[..., 2:4]))


def test_attention_within_slices_is_that_of_every_slice_by_itself() -> None:
    module, plain, embeddings = refinement(), refinement(Unchanged), random_embeddings()
    plain.load_state_dict(module.state_dict(), strict=False)
    before, after = plain(embeddings)[:, 10:], module(embeddings)[:, 10:]
    for depth in range(embeddings.shape[-1]):
        levels = module.attention(list(before[..., depth].split(REDUCED, 1)))
        assert_close(after[..., depth], torch.cat(levels, 1))


def test_attention_within_the_volume_sees_other_slices() -> None:
    module, embeddings = refinement(spatial_dims=3), random_embeddings()
    changed = embeddings.clone()
    changed[..., 0] = 0
    assert (module(embeddings) - module(changed))[..., 3:].abs().max() > 1e-4


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_stream_gives_the_finest_logits(spatial_dims: int) -> None:
    decoder = ResidualDecoder(MODALITIES * 5 + 2 * REDUCED, 3, channels=(8, 4, 4, 4))
    module = CrossAttentionDecoder(decoder, DualCrossAttention, ENCODER_CHANNELS, MODALITIES, REDUCED, spatial_dims)
    embeddings = random_embeddings()
    module(embeddings)  # BN's statistics are no longer those of the start
    module.eval()
    store = TemporaryStore()
    store.append(embeddings.movedim(-1, 2))
    with torch.no_grad():
        streamed = torch.cat(list(module.stream(store, TemporaryStore, slices=4)), -1)
        assert_close(streamed, module(embeddings)[0], atol=1e-4, rtol=0)


def test_takes_what_the_encoder_gives() -> None:
    encoder = SAMSliceEncoder(NARROW, blocks=[0, 1])
    decoder = ResidualDecoder(256 + 2 * REDUCED, 3, channels=(8, 4, 4, 4))
    network = SAM3D(encoder, CrossAttentionDecoder(decoder, DualCrossAttention, encoder.channels, reduced_channels=REDUCED))
    levels = network(torch.rand(2, 1, 40, 32, 3))
    assert [tuple(level.shape) for level in levels[:2]] == [(2, 3, 40, 32, 3), (2, 3, 20, 16, 3)]
    sum(level.square().mean() for level in levels).backward()
    assert all(reduction.weight.grad.any() for reduction in network.decoder.reductions)


def test_an_encoder_without_blocks_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"at least one block, got \[256\]; give the encoder `blocks`"):
        CrossAttentionDecoder(Passed(), DualCrossAttention, [256])


def test_a_wrong_number_of_dimensions_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"spatial_dims must be 2 .* or 3 .*, got 1"):
        CrossAttentionDecoder(Passed(), DualCrossAttention, [256, 8], spatial_dims=1)
