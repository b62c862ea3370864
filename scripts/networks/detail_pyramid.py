"""The pixels of a volume -> features at every resolution that a decoder of embeddings passes: what 16 x 16 tokens lose."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.contracts import NewStore, ReadableStore
from ..basics.tokens import PATCH
from .depth_stream import Layer, View, convolve, normalise
from .fast_layers import conv3d, instance_norm


class DetailPyramid(nn.Module):
    """(B, M, D, H, W) -> levels (B, C_i, D, H / 2^i, W / 2^i), coarsest first: of H / 16, H / 8, H / 4, H / 2 by default.

    A level is two convolutions of 3 x 3 x 3, each with instance normalisation and leaky ReLU, of which the first halves the
    plane. D is never shrunk, as the encoder never shrinks it.

    Args:
        in_channels: modalities M.
        channels: of each level, finest first.

    Example:
        >>> import torch
        >>> from scripts.networks import DetailPyramid
        >>> levels = DetailPyramid(in_channels=1)(torch.rand(1, 1, 8, 32, 48))
        >>> [tuple(level.shape) for level in levels]
        [(1, 128, 8, 2, 3), (1, 64, 8, 4, 6), (1, 32, 8, 8, 12), (1, 16, 8, 16, 24)]
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.token_channels = in_channels * PATCH**2
        levels = [DetailLevel(before, after) for before, after in zip([in_channels, *channels], channels, strict=False)]
        self.levels = cast(Sequence[DetailLevel], nn.ModuleList(levels))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        levels = []
        for level in self.levels:
            pixels = level(pixels)
            levels.append(pixels)
        return levels[::-1]

    def stream(self, pixels: ReadableStore, new_store: NewStore, slices: int) -> list[ReadableStore]:
        """`forward` part by part, in memory that does not grow with the depth.

        Args:
            pixels: (B, M, D, H, W).
            new_store: makes an empty store for a layer's results.
            slices: in a part.
        """
        levels: list[ReadableStore] = []
        for level in self.levels:
            pixels = level.stream(pixels, new_store, slices)
            levels.append(pixels)
        return levels[::-1]


class DetailLevel(nn.Module):
    """(B, C, D, H, W) -> (B, C', D, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shrink = nn.Conv3d(in_channels, out_channels, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.refine = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False)
        self.activation = nn.LeakyReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        for convolution in (self._shrink, self._refine):
            features = self.activation(instance_norm(convolution(features, depth_padding=1)))
        return features

    def stream(self, store: ReadableStore, new_store: NewStore, slices: int) -> ReadableStore:
        for convolution in (self._shrink, self._refine):
            result = new_store()
            norm = normalise(convolve(store, slices, partial(convolution, depth_padding=0)), result)
            store = View(result, _after(norm, self.activation))
        return store

    def _shrink(self, features: torch.Tensor, depth_padding: int) -> torch.Tensor:
        return F.conv3d(features, self.shrink.weight, None, (1, 2, 2), (depth_padding, 1, 1))

    def _refine(self, features: torch.Tensor, depth_padding: int) -> torch.Tensor:
        return conv3d(features, self.refine.weight, None, (depth_padding, 1, 1))


def _after(first: Layer, second: Layer) -> Layer:
    return lambda part: second(first(part))
