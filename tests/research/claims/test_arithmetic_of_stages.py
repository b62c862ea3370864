"""Claims on the decoder's arithmetic: the sum over stages, and where attention becomes more expensive. Counted by torch.

MAC: a multiplication and an addition, two FLOPs. torch.utils.flop_counter counts FLOPs; nothing is computed (device meta).
"""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.networks import ResidualDecoder

ORIGINAL = {"shortcut_kernel": 1, "upsample": "nearest", "supervised_stages": 3, "head": "convolutional", "conv_bias": True}
CHANNELS = [256, 128, 64, 32, 16]
TOKENS = 2 * 3 * 5  # h, w, D


def macs(network: nn.Module, *inputs: torch.Tensor) -> dict[str, int]:
    """Of every module by its name, and of everything under "Global"."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return {name: sum(counts.values()) // 2 for name, counts in counter.get_flop_counts().items()}


def stages(**options: object) -> list[int]:
    """MACs of every stage for one token, heads left out."""
    with torch.device("meta"):
        counts = macs(ResidualDecoder(256, 14, **options), torch.empty(1, 256, 2, 3, 5))
    return [counts[f"ResidualDecoder.stages.{stage}"] // TOKENS for stage in range(4)]


def test_every_stage_costs_the_same() -> None:
    counts = stages()
    print(f"MAC of the stages for one token: {counts}, together {sum(counts):,}; for one voxel {sum(counts) // 256:,}")
    assert len(set(counts)) == 1
    assert sum(counts) == 8_847_360


def test_the_first_term_alone_lacks_a_factor_of_five() -> None:
    """k C_l^2 a stage instead of k (C_l C' + C_l C' + C' C'), C' = C_l / 2: 1.25 times; and one stage in place of four."""
    one_convolution = [27 * width**2 * 4**stage for stage, width in enumerate(CHANNELS[:-1])]  # as FLOPs_l is usually written
    closing = 27 * 256**2  # its sum, HWD k 256^2 / 16^2, for one token of 16 x 16 voxels
    assert one_convolution == [closing] * 4
    assert [count / written for count, written in zip(stages(), one_convolution, strict=True)] == [1.25] * 4
    print(f"the first term alone {closing:,} MAC for one token; the four stages {sum(stages()) / closing:g} times that")
    assert sum(stages()) == 5 * closing


def test_cost_is_linear_in_the_voxels() -> None:
    with torch.device("meta"):
        decoder = ResidualDecoder(256, 14)
        one, four = (macs(decoder, torch.empty(1, 256, side, 3, 5))["Global"] for side in (2, 8))
    assert four == 4 * one


def test_the_finest_stage_holds_most_numbers() -> None:
    """Activations of a stage at its own size: channels halve, voxels grow fourfold, so every stage has twice the last one's."""
    with torch.device("meta"):
        decoder, sizes = ResidualDecoder(256, 14), []
        for stage in decoder.stages:
            stage.register_forward_hook(lambda stage, inputs, output: sizes.append(output.numel() // TOKENS))
        decoder(torch.empty(1, 256, 2, 3, 5))
    print(f"numbers in a stage's result for one token: {sizes}")
    assert sizes == [128, 256, 512, 1024]


class AttentionLayer(nn.Module):
    """Projections, scores, weighted sum, MLP of ratio 4; written out so that the counter sees every product."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        queries, keys, values = self.qkv(tokens).chunk(3, 1)
        return self.mlp(self.projection((queries @ keys.T).softmax(1) @ values))


def attention_layer(tokens: int) -> int:
    with torch.device("meta"):
        return macs(AttentionLayer(256), torch.empty(tokens, 256))["Global"]


def test_an_attention_layer_costs_twice_t_squared_d_and_its_linear_part() -> None:
    """T^2 d is Q K^T alone; A V is as much, and projections and MLP are 12 d^2 for every token."""
    for tokens in (64, 1024):
        assert attention_layer(tokens) == 2 * tokens**2 * 256 + 12 * 256**2 * tokens
    print(f"one layer, for one token: 512 T + {12 * 256**2:,} MAC")


@pytest.mark.parametrize(("options", "crossing"), [({}, 15_744), (ORIGINAL, 9_088)], ids=["default", "original"])
def test_attention_is_cheaper_below_the_crossing_and_more_expensive_above(options: dict[str, object], crossing: int) -> None:
    convolutions = sum(stages(**options))
    print(f"stages {convolutions:,} MAC for one token, crossing with one layer at T = {crossing:,}")
    assert attention_layer(crossing - 1) < convolutions * (crossing - 1)
    assert attention_layer(crossing + 1) > convolutions * (crossing + 1)
