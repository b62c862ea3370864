"""Skips of an encoder-decoder, finest first -> the same skips after attention among all levels."""

import math
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Norm
from torch import nn
from torch.nn import functional as F

from .cross_attention import ChannelCrossAttention, DepthwiseProjection, SpatialCrossAttention

POOL = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class SkipControl(nn.Module):
    """What remains of `DualCrossAttention` without attention: batch normalisation and ReLU on every skip."""

    def __init__(self, channels: Sequence[int], spatial_dims: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(Norm["batch", spatial_dims](c), nn.ReLU()) for c in channels)

    def forward(self, skips: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [level(skip) for level, skip in zip(self.levels, skips, strict=True)]


class DualCrossAttention(nn.Module):
    """Dual Cross-Attention (Ates et al., arXiv:2303.17696): a list of (B, C_i, *size_i), finest first -> the same shapes.

        t_i = depth-wise 1 x 1 (average pooling of x_i to one grid of N tokens)     (B, N, C_i)
        t_i = t_i + channel cross-attention (LN t)
        t_i = t_i + spatial cross-attention (LN t)
        x_i = ReLU(BN(x_i + upsampling (1 x 1 convolution of t_i)))

    C = sum of C_i. Projections within the attention are depth-wise 1 x 1 unless another is named.

    variant `paper`, as the authors released it:
        channel: queries of level i, keys and values of all levels; map C_i x C
        spatial: queries and keys of all levels (C channels), values of level i; a map N x N for each head
    variant `adjacent`, in the same frame:
        channel: queries of level i, keys and values of all other levels; map C_i x (C - C_i)
        spatial: queries of level i, keys and values of the one or two adjacent levels, whose A channels are concatenated and
            mapped to C_i by full 1 x 1 convolutions; a map N x N for each head

    Different from the paper: the size of the volume sets the grid, see `token_grid`, so any size works (at 224 x 224 this gives
    the paper's 28 x 28); the last 1 x 1 convolution comes before the upsampling, with which it commutes; three dimensions.

    tokens: N at most.
    heads: of the spatial attention; each level's channels must divide by them.
    """

    def __init__(
        self, channels: Sequence[int], spatial_dims: int, variant: str = "paper", tokens: int = 4096, heads: int = 4
    ) -> None:
        super().__init__()
        if variant not in ("paper", "adjacent"):
            raise ValueError(f"variant must be 'paper' or 'adjacent', got {variant!r}")
        if variant == "adjacent" and len(channels) < 2:
            raise ValueError("variant 'adjacent' attends to other levels and there is only one; use variant 'paper'")
        if tokens < 1:
            raise ValueError(f"tokens must be at least 1, got {tokens}")
        if any(c % heads for c in channels):
            raise ValueError(f"the channels of every level must divide by heads = {heads}, got {list(channels)}")
        self.variant, self.tokens, self.spatial_dims = variant, tokens, spatial_dims
        everything = list(range(len(channels)))
        # Of each level, the levels that make its context.
        self.channel_sources = [everything if variant == "paper" else [j for j in everything if j != i] for i in everything]
        self.spatial_sources = [
            everything if variant == "paper" else [j for j in everything if abs(i - j) == 1] for i in everything
        ]
        self.embeddings = nn.ModuleList(DepthwiseProjection(c) for c in channels)
        self.channel_norms = nn.ModuleList(nn.LayerNorm(c, eps=1e-6) for c in channels)  # eps as released
        self.channel_attention = nn.ModuleList(
            ChannelCrossAttention(c, sum(channels[j] for j in sources))
            for c, sources in zip(channels, self.channel_sources, strict=True)
        )
        self.spatial_norms = nn.ModuleList(nn.LayerNorm(c, eps=1e-6) for c in channels)
        self.spatial_attention = nn.ModuleList(
            self._make_spatial_attention(c, sum(channels[j] for j in sources), heads)
            for c, sources in zip(channels, self.spatial_sources, strict=True)
        )
        self.reconstructions = nn.ModuleList(nn.Linear(c, c) for c in channels)  # 1 x 1 convolutions of tokens
        self.skips = SkipControl(channels, spatial_dims)

    def forward(self, skips: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        sizes = [tuple(int(size) for size in skip.shape[2:]) for skip in skips]  # plain numbers also while tracing
        grid = token_grid(sizes, self.tokens)
        pooled = [POOL[self.spatial_dims](skip, grid).flatten(2).transpose(1, 2) for skip in skips]  # (B, N, C_i)
        tokens = [embed(level) for embed, level in zip(self.embeddings, pooled, strict=True)]
        tokens = self._attend_spatially(self._attend_channels(tokens))
        restored = [
            self._upsample(reconstruct(level), grid, size)
            for reconstruct, level, size in zip(self.reconstructions, tokens, sizes, strict=True)
        ]
        return self.skips([skip + level for skip, level in zip(skips, restored, strict=True)])

    def _make_spatial_attention(self, channels: int, context_channels: int, heads: int) -> SpatialCrossAttention:
        if self.variant == "paper":
            query, key = DepthwiseProjection(context_channels), DepthwiseProjection(context_channels)
            return SpatialCrossAttention(query, key, DepthwiseProjection(channels), channels, heads)
        key, value = nn.Linear(context_channels, channels), nn.Linear(context_channels, channels)
        return SpatialCrossAttention(DepthwiseProjection(channels), key, value, channels, heads)

    def _attend_channels(self, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
        normed = [norm(level) for norm, level in zip(self.channel_norms, tokens, strict=True)]
        return [
            tokens[i] + attention(normed[i], torch.cat([normed[j] for j in self.channel_sources[i]], 2))
            for i, attention in enumerate(self.channel_attention)
        ]

    def _attend_spatially(self, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
        normed = [norm(level) for norm, level in zip(self.spatial_norms, tokens, strict=True)]
        attended = []
        for i, attention in enumerate(self.spatial_attention):
            context = torch.cat([normed[j] for j in self.spatial_sources[i]], 2)
            query, value = (context, normed[i]) if self.variant == "paper" else (normed[i], context)
            attended.append(tokens[i] + attention(query, context, value))
        return attended

    def _upsample(self, tokens: torch.Tensor, grid: tuple[int, ...], size: tuple[int, ...]) -> torch.Tensor:
        level = tokens.transpose(1, 2).unflatten(2, grid)  # (B, C_i, *grid)
        return F.interpolate(level, size=size, mode=INTERPOLATION[self.spatial_dims], align_corners=True)  # as released


def token_grid(sizes: Sequence[Sequence[int]], tokens: int) -> tuple[int, ...]:
    """The common grid of tokens: the coarsest level's size, its longest axis halved until there are at most `tokens`."""
    grid = [min(axis) for axis in zip(*sizes, strict=True)]
    while math.prod(grid) > tokens:
        longest = grid.index(max(grid))
        grid[longest] = (grid[longest] + 1) // 2
    return tuple(grid)
