"""GatedAxialAttention against eq. 2 of its paper, written plainly."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from scripts.research.networks.medt.gated_axial_attention import AxialAttention, GatedAxialAttention

CHANNELS, HEADS, SIZE = 8, 2, 5


def with_distinct_values(attention: AxialAttention) -> AxialAttention:
    """In evaluation and float64, nothing left at 0 or 1, so that a mistake shows."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*attention.parameters(), *attention.buffers()]:
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
    with torch.no_grad():
        attention.qkv.weight -= 1.0
    return attention.eval()


def normalised(norm: nn.Module, channel: int, value: float) -> float:
    deviation = math.sqrt(norm.running_var[channel].item() + 1e-5)
    return (value - norm.running_mean[channel].item()) / deviation * norm.weight[channel].item() + norm.bias[channel].item()


def entry(table: torch.Tensor, offset: int, length: int) -> float:
    """Of a table for lines of SIZE, at an offset within a line of `length`: linear between entries, centre on centre."""
    place = (SIZE - 1) + offset * (2 * SIZE - 1) / (2 * length - 1)
    place = min(max(place, 0.0), 2 * SIZE - 2)
    low = min(int(place), 2 * SIZE - 3)
    return ((low + 1 - place) * table[low] + (place - low) * table[low + 1]).item()


def plain_line(attention: GatedAxialAttention, line: torch.Tensor) -> torch.Tensor:
    """Eq. 2 for one line (C, L), number by number."""
    length, c = line.shape[1], CHANNELS // HEADS
    qkv = attention.qkv.weight[:, :, 0] @ line
    qkv = torch.tensor([[normalised(attention.qkv_norm, r, x.item()) for x in row] for r, row in enumerate(qkv)])
    result = torch.zeros(CHANNELS, length, dtype=torch.float64)
    tables = attention.tables
    for m in range(HEADS):
        q, k, v = (part.double() for part in qkv[2 * c * m : 2 * c * (m + 1)].split([c // 2, c // 2, c]))
        for i in range(length):
            scores = []
            for j in range(length):
                r_q = [entry(tables[n], j - i, length) for n in range(c // 2)]
                r_k = [entry(tables[c // 2 + n], j - i, length) for n in range(c // 2)]
                content = sum(q[n, i].item() * k[n, j].item() for n in range(c // 2))
                of_query = sum(q[n, i].item() * r_q[n] for n in range(c // 2))
                of_key = sum(k[n, j].item() * r_k[n] for n in range(c // 2))
                scores.append(
                    normalised(attention.similarity_norm, m, content)
                    + attention.gate_query.item() * normalised(attention.query_norm, m, of_query)
                    + attention.gate_key.item() * normalised(attention.key_norm, m, of_key)
                )
            shares = [math.exp(s) / sum(math.exp(t) for t in scores) for s in scores]
            for n in range(c):
                channel = m * c + n
                content = sum(shares[j] * v[n, j].item() for j in range(length))
                position = sum(shares[j] * entry(tables[c + n], j - i, length) for j in range(length))
                result[channel, i] = attention.gate_value.item() * normalised(attention.value_norm, channel, content)
                result[channel, i] += attention.gate_position.item() * normalised(attention.position_norm, channel, position)
    return result


@pytest.mark.parametrize("length", [SIZE, 3, 7, 1])
@pytest.mark.parametrize("axis", [2, 3])
def test_every_line_is_equation_2_also_for_lengths_that_the_tables_are_not_made_for(axis: int, length: int) -> None:
    attention = with_distinct_values(GatedAxialAttention(CHANNELS, HEADS, axis, SIZE))
    features = torch.randn(2, CHANNELS, 2, length, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([torch.stack([plain_line(attention, image[:, row]) for row in range(2)], 1) for image in features])
    if axis == 2:
        features, expected = features.mT, expected.mT
    assert_close(attention(features), expected, atol=1e-5, rtol=1e-5)


def test_gates_start_as_released_with_content_open_and_positions_nearly_shut() -> None:
    attention = GatedAxialAttention(CHANNELS, HEADS, 3, SIZE)
    assert attention.gate_value.item() == 1
    for gate in (attention.gate_query, attention.gate_key, attention.gate_position):
        assert gate.item() == pytest.approx(0.1)


def test_shut_gates_leave_attention_by_content_alone() -> None:
    gated = with_distinct_values(GatedAxialAttention(CHANNELS, HEADS, 3, SIZE))
    with torch.no_grad():
        for gate in (gated.gate_query, gated.gate_key, gated.gate_position):
            gate.zero_()
        gated.gate_value.fill_(1)
    plain = AxialAttention(CHANNELS, HEADS, 3).double().eval()
    plain.load_state_dict(gated.state_dict(), strict=False)
    features = torch.randn(2, CHANNELS, 3, SIZE, dtype=torch.float64)
    assert_close(gated(features), plain(features))


def test_without_positions_the_order_within_a_line_does_not_matter() -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    features = torch.randn(2, CHANNELS, 3, SIZE, dtype=torch.float64)
    plain = with_distinct_values(AxialAttention(CHANNELS, HEADS, 3))
    assert_close(plain(features[..., order]), plain(features)[..., order])
    gated = with_distinct_values(GatedAxialAttention(CHANNELS, HEADS, 3, SIZE))
    assert not torch.allclose(gated(features[..., order]), gated(features)[..., order])


def test_gates_and_tables_are_trained() -> None:
    attention = GatedAxialAttention(CHANNELS, HEADS, 2, SIZE)
    attention(torch.randn(2, CHANNELS, SIZE, 3)).square().mean().backward()
    for parameter in attention.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def test_channels_that_do_not_split_into_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of 4.*got 6"):
        AxialAttention(6, 2, 3)
