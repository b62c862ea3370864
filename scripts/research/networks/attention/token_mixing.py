"""A grid of tokens -> each token mixed with others by attention: with all, with its line of the grid, or with its window."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

MIXING = ("full", "axial", "windowed")
Size = tuple[int, ...]  # D, h, w


class Partition(Protocol):
    """Which tokens attend to each other: the sequences that a grid falls into."""

    def split(self, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, D, h, w, C) -> sequences (N, L, C), and (N, 1, 1, L) true where a token is one of the grid; None: everywhere."""
        ...

    def join(self, sequences: torch.Tensor, size: Size) -> torch.Tensor:
        """(N, L, C) -> (B, D, h, w, C)."""
        ...


class TokenMixing(nn.Module):
    """Multi-head self-attention within the sequences of a partition, (B, D, h, w, C) -> (B, D, h, w, C)."""

    def __init__(self, width: int, heads: int, partition: Partition) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
        self.heads = heads
        self.partition = partition
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        sequences, real = self.partition.split(self.qkv(tokens))  # (N, L, 3 C)
        heads = sequences.unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind()  # (N, heads, L, C / heads)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=real)
        return self.project(self.partition.join(mixed.transpose(1, 2).flatten(2), size_of(tokens)))


class WholeGrid:
    """One sequence of all tokens."""

    def split(self, grid: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grid.flatten(1, 3), None

    def join(self, sequences: torch.Tensor, size: Size) -> torch.Tensor:
        return sequences.unflatten(1, size)


class Lines:
    """The lines along one axis of the grid: 0 is D, 1 is h, 2 is w."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def split(self, grid: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grid.movedim(1 + self.axis, 3).flatten(0, 2), None

    def join(self, sequences: torch.Tensor, size: Size) -> torch.Tensor:
        others = [length for axis, length in enumerate(size) if axis != self.axis]
        return sequences.unflatten(0, (-1, *others)).movedim(3, 1 + self.axis)


class Windows:
    """Boxes of `window` tokens (D, h, w), or half a box further on: then the first ones are cut, as the last ones may be.

    Cut boxes are filled up with tokens that none attends to. An axis no longer than the window is one window, shifted or not.
    """

    def __init__(self, window: Size, shifted: bool) -> None:
        self.window = window
        self.shifted = shifted

    def split(self, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        size = size_of(grid)
        window, before, count = self._layout(size)
        after = [n * length - b - s for n, length, b, s in zip(count, window, before, size, strict=True)]
        if not any(before) and not any(after):
            return _boxes(grid, window), None
        padding = [0, 0, *(p for pair in zip(before[::-1], after[::-1], strict=True) for p in pair)]  # last axis first
        real = F.pad(torch.ones(1, *size, 1, dtype=torch.bool, device=grid.device), padding)
        real = _boxes(real, window).movedim(1, -1)[:, :, None]  # (windows, 1, 1, L)
        return _boxes(F.pad(grid, padding), window), real.repeat(grid.shape[0], 1, 1, 1)

    def join(self, sequences: torch.Tensor, size: Size) -> torch.Tensor:
        window, before, count = self._layout(size)
        boxes = sequences.unflatten(1, window).unflatten(0, (-1, *count))  # (B, count, window, C)
        grid = boxes.permute(0, 1, 4, 2, 5, 3, 6, 7).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        for axis, (start, length) in enumerate(zip(before, size, strict=True)):
            grid = grid.narrow(1 + axis, start, length)
        return grid

    def _layout(self, size: Size) -> tuple[Size, Size, Size]:
        """Along each axis: tokens in a window, tokens missing in the first one, windows."""
        window = tuple(min(pair) for pair in zip(self.window, size, strict=True))
        before = tuple(w // 2 if self.shifted and w < s else 0 for w, s in zip(window, size, strict=True))
        count = tuple(-(-(b + s) // w) for w, b, s in zip(window, before, size, strict=True))
        return window, before, count


def partition(mixing: str, layer: int, window: Sequence[int]) -> Partition:
    """Of one layer. `axial` takes the axes D, h, w in turn, `windowed` shifts its windows in every other layer.

    window: h, w and D tokens.
    """
    if mixing not in MIXING:
        raise ValueError(f"mixing must be one of {', '.join(MIXING)}, got {mixing!r}")
    if mixing == "full":
        return WholeGrid()
    if mixing == "axial":
        return Lines(layer % 3)
    if len(window) != 3 or min(window) < 1:
        raise ValueError(f"window must be three numbers of tokens (h, w, D), 1 or more, got {window}")
    height, width, depth = window
    return Windows((depth, height, width), shifted=layer % 2 == 1)


def size_of(grid: torch.Tensor) -> Size:
    """D, h, w as numbers, also while tracing."""
    depth, height, width = (int(length) for length in grid.shape[1:4])
    return depth, height, width


def _boxes(grid: torch.Tensor, window: Size) -> torch.Tensor:
    """(B, D, h, w, C) -> (B * windows, tokens of a window, C); the sizes are multiples of the window's."""
    for axis, length in zip((1, 3, 5), window, strict=True):
        grid = grid.unflatten(axis, (-1, length))
    return grid.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(0, 3)
