"""A decoder's sizes -> its multiplications and additions (MACs) by formula; something to run -> its MACs, counted.

Per token of the embeddings, T = D h w of them, each a patch of 16 x 16 pixels of one slice. Let stage i = 0, 1, ... turn C_i
channels into C_(i+1); the positions at which it works number 4^i T, since every stage before it doubled the plane.

* A residual stage convolves with W1 (27 C_i C_(i+1) MACs a position), W2 (27 C_(i+1)^2) and W0 (k^3 C_i C_(i+1), k = 3 or 1).
  Where channels halve, C^2 falls by 4 as positions grow by 4: each stage costs the same.
* A transformer layer of width d projects to Q, K, V and from the heads (4 d^2), has an MLP (2 r d^2, r = hidden / d), and for
  each of the P pairs of a query and a key a product with K and one with V, d MACs each: 4 d^2 + 2 r d^2 + 2 d P / T.
  Full attention has P = T^2: with d = 256 and r = 4 that is 0.79 M + 512 T.
* A pointwise stage has C_i C_(i+1) MACs a position, and runs before its enlargement.
* A head of 1 x 1 x 1 has K C_(i+1), before the enlargement; the convolutional one 27 C^2 / 2 + K C / 2, C = C_(i+1), after it.

Normalisation, activations, interpolation and the softmax are not MACs and not counted.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Grid = tuple[int, int, int]  # h, w, D


def residual_stage_macs(in_channels: int, channels: Sequence[int], shortcut_kernel: int = 3) -> list[int]:
    """Of every stage, coarsest first, per token."""
    return [
        4**i * ((27 + shortcut_kernel**3) * before * after + 27 * after**2)
        for i, (before, after) in enumerate(pairwise([in_channels, *channels]))
    ]


def pointwise_stage_macs(in_channels: int, channels: Sequence[int]) -> list[int]:
    """Of every stage, coarsest first, per token."""
    return [4 ** max(i - 1, 0) * before * after for i, (before, after) in enumerate(pairwise([in_channels, *channels]))]


def head_macs(channels: Sequence[int], classes: int, supervised_stages: int = 4, head: str = "linear") -> int:
    """Of all heads, per token."""
    of_stages = [
        4**i * classes * c if head == "linear" else 4 ** (i + 1) * (27 * c + classes) * (c // 2) for i, c in enumerate(channels)
    ]
    return sum(of_stages[-supervised_stages:])


def layer_macs(grid: Grid, pairs: int, width: int, mlp_ratio: float) -> float:
    """Of a transformer layer, per token."""
    return 4 * width**2 + 2 * width * round(mlp_ratio * width) + 2 * width * pairs / math.prod(grid)


def attended_pairs(grid: Grid, mixing: str, layer: int, window: Grid) -> int:
    """Pairs of a query and a key that a layer computes, those of filled-up windows included."""
    height, width, depth = grid
    if mixing == "full":
        return math.prod(grid) ** 2
    if mixing == "axial":
        return math.prod(grid) * (depth, height, width)[layer % 3]
    pairs = 1
    for size, length in zip(grid, window, strict=True):
        length = min(size, length)
        shift = length // 2 if layer % 2 and length < size else 0
        pairs *= -(-(size + shift) // length) * length**2  # windows times pairs in each
    return pairs


def attention_crossing(macs: float, width: int = 256, mlp_ratio: float = 4) -> float:
    """T from which one layer of full attention costs more than `macs` per token."""
    return (macs - layer_macs((1, 1, 1), 0, width, mlp_ratio)) / (2 * width)


def count_macs(run: Callable[[], object]) -> tuple[int, dict[str, int]]:
    """In all, and of every module by its name (`ResidualDecoder.stages.0`), by torch's FlopCounterMode.

    It knows fused attention on CUDA but not the kernel of CPUs (torch 2.13), whose formula is added here.
    """
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        run()
    of_modules = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    return counter.get_total_flops() // 2, of_modules


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Of Q K^T and of its softmax times V; shapes are (N, heads, L, C / heads)."""
    sequences, heads, queries, channels = query
    return 2 * sequences * heads * queries * key[2] * (channels + value[3])
