"""Attention across channels and across positions against their formulas, number by number."""

import torch
from torch import nn
from torch.testing import assert_close

from scripts.research.networks.skip_connections.cross_attention import (
    ChannelCrossAttention,
    DepthwiseProjection,
    SpatialCrossAttention,
)

POSITIONS, LEVEL, CONTEXT, HEADS = 6, 4, 10, 2


def projected(projection: DepthwiseProjection, tokens: torch.Tensor) -> torch.Tensor:
    """As the convolution that it stands for."""
    plain = nn.Conv2d(tokens.shape[2], tokens.shape[2], 1, groups=tokens.shape[2]).double()
    plain.load_state_dict({"weight": projection.weight[..., None], "bias": projection.bias})
    return plain(tokens.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)


def channel_attention() -> tuple[ChannelCrossAttention, torch.Tensor, torch.Tensor]:
    level, context = torch.randn(2, POSITIONS, LEVEL).double(), torch.randn(2, POSITIONS, CONTEXT).double()
    return ChannelCrossAttention(LEVEL, CONTEXT).double(), level, context


def spatial_attention() -> tuple[SpatialCrossAttention, torch.Tensor, torch.Tensor]:
    """The paper's: queries and keys of all levels, values of one."""
    projections = DepthwiseProjection(CONTEXT), DepthwiseProjection(CONTEXT), DepthwiseProjection(LEVEL)
    level, context = torch.randn(2, POSITIONS, LEVEL).double(), torch.randn(2, POSITIONS, CONTEXT).double()
    return SpatialCrossAttention(*projections, LEVEL, HEADS).double(), level, context


def channel_map_by_hand(attention: ChannelCrossAttention, level: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    query, key = projected(attention.query, level), projected(attention.key, context)
    expected = torch.empty(2, LEVEL, CONTEXT).double()
    for sample in range(2):
        for c in range(LEVEL):
            logits = [(query[sample, :, c] @ key[sample, :, other]).item() / CONTEXT**0.5 for other in range(CONTEXT)]
            exponentials = torch.tensor(logits, dtype=torch.double).exp()
            expected[sample, c] = exponentials / exponentials.sum()
    return expected


def spatial_map_by_hand(attention: SpatialCrossAttention, context: torch.Tensor) -> torch.Tensor:
    query, key = projected(attention.query, context), projected(attention.key, context)
    width = CONTEXT // HEADS
    expected = torch.empty(2, HEADS, POSITIONS, POSITIONS).double()
    for sample in range(2):
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            for n in range(POSITIONS):
                exponentials = (key[sample, :, part] @ query[sample, n, part] / width**0.5).exp()
                expected[sample, head, n] = exponentials / exponentials.sum()
    return expected


def test_the_channel_map_is_channels_by_context_and_its_rows_sum_to_one() -> None:
    attention, level, context = channel_attention()
    weights = attention.weights(level, context)
    assert_close(weights.sum(-1), torch.ones(2, LEVEL).double())
    assert_close(weights, channel_map_by_hand(attention, level, context), atol=1e-12, rtol=0)


def test_channels_take_over_what_the_map_says() -> None:
    attention, level, context = channel_attention()
    mixed = channel_map_by_hand(attention, level, context) @ projected(attention.value, context).transpose(1, 2)
    expected = projected(attention.projection, mixed.transpose(1, 2))
    assert_close(attention(level, context), expected, atol=1e-12, rtol=0)


def test_the_spatial_map_is_positions_by_positions_and_its_rows_sum_to_one() -> None:
    attention, _, context = spatial_attention()
    weights = attention.weights(context, context)
    assert_close(weights.sum(-1), torch.ones(2, HEADS, POSITIONS).double())
    assert_close(weights, spatial_map_by_hand(attention, context), atol=1e-12, rtol=0)


def test_positions_take_over_what_the_map_of_their_head_says() -> None:
    attention, level, context = spatial_attention()
    value, maps = projected(attention.value, level), spatial_map_by_hand(attention, context)
    width = LEVEL // HEADS
    mixed = torch.cat([maps[:, head] @ value[..., head * width : (head + 1) * width] for head in range(HEADS)], 2)
    assert_close(attention(context, context, level), projected(attention.projection, mixed), atol=1e-12, rtol=0)
