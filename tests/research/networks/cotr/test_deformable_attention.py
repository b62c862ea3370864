"""MultiScaleDeformableAttention against its equation with trilinear interpolation by hand."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from scripts.research.networks.cotr.deformable_attention import MultiScaleDeformableAttention

CHANNELS, HEADS, POINTS = 6, 3, 2
SIZES = [(4, 3, 2), (2, 1, 1)]


@pytest.fixture
def attention() -> MultiScaleDeformableAttention:
    """In float64, with offsets and weights that depend on the query."""
    torch.manual_seed(0)
    attention = MultiScaleDeformableAttention(CHANNELS, HEADS, len(SIZES), POINTS).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return attention


def trilinear(volume: torch.Tensor, place: list[float]) -> torch.Tensor:
    """(c, h, w, d) at a place in voxels, 0 being the centre of the first, -> (c,); 0 outside."""
    corner = [math.floor(x) for x in place]
    total = torch.zeros(len(volume), dtype=volume.dtype)
    for steps in itertools.product((0, 1), repeat=3):
        index = [c + s for c, s in zip(corner, steps, strict=True)]
        if all(0 <= i < n for i, n in zip(index, volume.shape[1:], strict=True)):
            share = math.prod(1 - abs(x - i) for x, i in zip(place, index, strict=True))
            total = total + share * volume[:, index[0], index[1], index[2]]
    return total


def plain(
    attention: MultiScaleDeformableAttention, queries: torch.Tensor, references: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Eq. 3 of Deformable DETR, query by query, head by head, point by point."""
    c = CHANNELS // HEADS
    result = torch.zeros_like(queries)
    for b, t in itertools.product(range(len(queries)), range(queries.shape[1])):
        offsets = attention.offsets(queries[b, t]).reshape(HEADS, len(SIZES), POINTS, 3).tolist()
        weights = attention.weights(queries[b, t]).reshape(HEADS, -1).exp()
        weights = (weights / weights.sum(1, keepdim=True)).reshape(HEADS, len(SIZES), POINTS)
        found = torch.zeros(HEADS, c, dtype=queries.dtype)
        for m in range(HEADS):
            start = 0
            for level, size in enumerate(SIZES):
                count = math.prod(size)
                values = attention.value(tokens[b, start : start + count])[:, m * c : (m + 1) * c]
                volume = values.T.reshape(c, *size)
                start += count
                for p in range(POINTS):
                    reference = references[t].tolist()
                    place = [r * n + o - 0.5 for r, n, o in zip(reference, size, offsets[m][level][p], strict=True)]
                    found[m] += weights[m, level, p] * trilinear(volume, place)
        result[b, t] = attention.output(found.flatten())
    return result


def tensors(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(2, 5, CHANNELS, generator=generator, dtype=torch.float64)
    references = torch.rand(5, 3, generator=generator, dtype=torch.float64)
    tokens = torch.randn(2, sum(math.prod(s) for s in SIZES), CHANNELS, generator=generator, dtype=torch.float64)
    return queries, references, tokens


@pytest.mark.parametrize("seed", [1, 2])
def test_each_query_reads_its_points_of_every_level(attention: MultiScaleDeformableAttention, seed: int) -> None:
    queries, references, tokens = tensors(seed)
    assert_close(attention(queries, references, tokens, SIZES), plain(attention, queries, references, tokens))


def test_weights_sum_to_one_over_levels_and_points(attention: MultiScaleDeformableAttention) -> None:
    weights = attention.point_weights(tensors(1)[0])
    assert weights.shape == (2, 5, HEADS, len(SIZES), POINTS)
    assert weights.min() > 0
    assert_close(weights.sum((-1, -2)), torch.ones(2, 5, HEADS, dtype=torch.float64))


def test_the_first_offsets_spread_over_six_directions_whatever_the_query() -> None:
    attention = MultiScaleDeformableAttention(12, 6, 2, 4)
    offsets = attention.offsets(torch.randn(3, 12)).reshape(3, 6, 2, 4, 3)
    assert_close(offsets.norm(dim=-1), torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(3, 6, 2, 4))
    directions = {tuple(direction) for direction in offsets[0, :, 0, 0].tolist()}
    assert directions == {(1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0), (0, 0, -1)}
    assert (offsets == offsets[:1, :, :1]).all()


def test_offsets_weights_and_values_are_trained(attention: MultiScaleDeformableAttention) -> None:
    queries, references, tokens = tensors(1)
    attention(queries, references, tokens, SIZES).square().mean().backward()
    for parameter in attention.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def test_channels_that_do_not_split_into_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads, got 8 and 3"):
        MultiScaleDeformableAttention(8, 3, 2, 4)
