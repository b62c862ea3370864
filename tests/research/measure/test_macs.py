"""Formulas of MACs against the counter and the figures of the specification; the counter against products of known size."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from scripts.networks import ResidualDecoder
from scripts.research.measure import (
    attended_pairs,
    attention_crossing,
    count_macs,
    head_macs,
    layer_macs,
    pointwise_stage_macs,
    residual_stage_macs,
)
from scripts.research.networks.attention.attention_decoder import AttentionDecoder

CHANNELS = (128, 64, 32, 16)
NARROW = (12, 8, 4, 2)
ORIGINAL = {"shortcut_kernel": 1, "upsample": "nearest", "supervised_stages": 3, "head": "convolutional", "conv_bias": True}
GRID = (3, 5, 6)  # h, w, D


def test_stages_cost_the_same_where_channels_halve() -> None:
    assert residual_stage_macs(256, CHANNELS) == [2_211_840] * 4  # 8.85 M in all
    assert residual_stage_macs(256, CHANNELS, shortcut_kernel=1) == [1_359_872] * 4


def test_a_layer_costs_0_79_m_and_512_t() -> None:
    for tokens in (1, 576, 16_384):
        pairs = attended_pairs((1, 1, tokens), "full", 0, (1, 1, 1))
        assert layer_macs((1, 1, tokens), pairs, 256, 4) == 786_432 + 512 * tokens


def test_a_layer_crosses_the_stages_where_the_specification_says() -> None:
    assert attention_crossing(sum(residual_stage_macs(256, CHANNELS))) == pytest.approx(15_700, rel=0.005)
    assert attention_crossing(sum(residual_stage_macs(256, CHANNELS, shortcut_kernel=1))) == pytest.approx(9_100, rel=0.005)


@pytest.mark.parametrize("options", [{}, ORIGINAL], ids=["default", "original"])
def test_the_count_of_a_decoder_of_convolutions_is_the_formula(options: dict[str, Any]) -> None:
    decoder, tokens = ResidualDecoder(20, 3, NARROW, **options), math.prod(GRID)
    total, of_modules = count_macs(lambda: decoder(torch.randn(1, 20, *GRID)))
    stages = residual_stage_macs(20, NARROW, options.get("shortcut_kernel", 3))
    assert [of_modules[f"ResidualDecoder.stages.{index}"] for index in range(4)] == [tokens * macs for macs in stages]
    heads = head_macs(NARROW, 3, options.get("supervised_stages", 4), options.get("head", "linear"))
    assert total == tokens * (sum(stages) + heads)


@pytest.mark.parametrize("mixing", ["full", "axial", "windowed"])
def test_the_count_of_a_decoder_of_attention_is_the_formula(mixing: str) -> None:
    window = (2, 4, 4)  # cut at the end of every axis, and at the start where it is shifted
    decoder = AttentionDecoder(16, 3, 16, 3, 2, 1.7, mixing, window, NARROW, supervised_stages=2)
    total, _ = count_macs(lambda: decoder(torch.randn(1, 16, *GRID)))
    layers = sum(layer_macs(GRID, attended_pairs(GRID, mixing, layer, window), 16, 1.7) for layer in range(3))
    expected = math.prod(GRID) * (layers + sum(pointwise_stage_macs(16, NARROW)) + head_macs(NARROW, 3, 2))
    assert total == pytest.approx(expected, rel=1e-12)


def test_fused_attention_is_counted_on_this_machine() -> None:
    query, key, value = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 8)
    assert count_macs(lambda: F.scaled_dot_product_attention(query, key, value))[0] == 2 * 3 * 5 * 7 * (8 + 8)


def test_a_matrix_product_is_counted() -> None:
    assert count_macs(lambda: torch.ones(3, 5) @ torch.ones(5, 7))[0] == 3 * 5 * 7
