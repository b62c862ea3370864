"""Volume -> CoTr: CNN encoder, deformable transformer on its two coarsest levels, CNN decoder -> logits."""

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional as F

from .deformable_attention import MultiScaleDeformableAttention


class CoTr(nn.Module):
    """(B, M, h, w, d) -> logits (B, K, h, w, d), h and w multiples of 16, d of 8: Xie et al. (arXiv:2103.03024).

    Instance normalisation and leaky ReLU as in the paper; widths and strides of the released code, which leaves the depth at
    the first of four strides and, as its trainer builds it, standardises no weights. Departures: its three heads for deep
    supervision are left out, since comparators answer with one tensor; sines and cosines come in pairs of one wavelength; and
    references and offsets are in one order of axes (there the two in the plane are exchanged).

    The coarsest level must hold more than one position, for instance normalisation: at least 32 x 16 x 8 voxels.

    channels: at 1/2, 1/4, 1/8 and 1/16 of the size in the plane, the last two alike: the transformer's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (64, 192, 384, 384),
        blocks: Sequence[int] = (3, 3, 2),
        num_layers: int = 6,
        num_heads: int = 6,
        num_points: int = 4,
        mlp_dim: int = 1536,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        hidden = channels[-1]
        if channels[-2] != hidden or hidden % 6:
            raise ValueError(
                "the last two of channels must be alike, since the transformer takes both levels, and a multiple of 6, for "
                f"sines and cosines along 3 axes; got {list(channels)}"
            )
        self.stem = convolution(in_channels, channels[0], kernel_size=7, strides=(2, 2, 1))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(b if i == 0 else c, c, 2 if i == 0 else 1) for i in range(count)))
            for b, c, count in zip(channels, channels[1:], blocks, strict=False)
        )
        self.level_embeddings = nn.Parameter(torch.randn(2, hidden))
        self.transformer = nn.ModuleList(
            DeformableLayer(hidden, num_heads, num_points, mlp_dim, dropout) for _ in range(num_layers)
        )
        pairs = list(zip(channels[:0:-1], channels[-2::-1], strict=True))  # of widths, coarsest first
        self.upsampling = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, 2, bias=False) for b, a in pairs)
        self.decoder = nn.ModuleList(
            nn.Sequential(convolution(a, a, kernel_size=3), convolution(a, a, kernel_size=3)) for _, a in pairs
        )
        self.head = nn.Conv3d(channels[0], out_channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        levels = [self.stem(volume)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        levels[-2:] = self.transform(levels[-2:])
        features = levels.pop()
        for upsampling, block in zip(self.upsampling, self.decoder, strict=True):
            features = upsampling(features) + levels.pop()
            features = features + block(features)
        # The head commutes with interpolation, and is cheaper before it.
        return F.interpolate(self.head(features), scale_factor=(2.0, 2.0, 1.0), mode="trilinear", align_corners=False)

    def transform(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        """Two levels (B, C, h, w, d) -> the same shapes, every position having looked at both."""
        sizes = [tuple(int(size) for size in level.shape[2:]) for level in levels]
        embeddings = self.level_embeddings.unbind()
        places = [centres(size, embeddings[0]) for size in sizes]  # (h * w * d, 3) each
        encodings = [sinusoids(place, len(e)) + e for place, e in zip(places, embeddings, strict=True)]
        references, positions = torch.cat(places), torch.cat(encodings)
        tokens = torch.cat([level.flatten(2).mT for level in levels], 1)  # (B, T, C)
        for layer in self.transformer:
            tokens = layer(tokens, positions, references, sizes)
        parts = tokens.split([math.prod(size) for size in sizes], 1)
        return [part.mT.unflatten(-1, size) for part, size in zip(parts, sizes, strict=True)]


class DeformableLayer(nn.Module):
    """(B, T, C) -> (B, T, C): deformable attention of all tokens to all levels, then the MLP, each normalised after its sum."""

    def __init__(self, channels: int, num_heads: int, num_points: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiScaleDeformableAttention(channels, num_heads, 2, num_points)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, channels), nn.Dropout(dropout)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, references: torch.Tensor, sizes: list[tuple[int, ...]]
    ) -> torch.Tensor:
        attended = self.attention(tokens + positions, references, tokens, sizes)
        tokens = self.norm1(tokens + self.dropout(attended))
        return self.norm2(tokens + self.mlp(tokens))


class ResidualBlock(nn.Module):
    """(B, in, h, w, d) -> (B, out, h / stride, ...): one 3 x 3 x 3 convolution and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.residual = convolution(in_channels, out_channels, kernel_size=3, strides=stride, act=None)
        changes = stride > 1 or in_channels != out_channels
        self.shortcut = (
            convolution(in_channels, out_channels, kernel_size=1, strides=stride, act=None) if changes else nn.Identity()
        )
        self.activation = nn.LeakyReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.activation(self.residual(features) + self.shortcut(features))


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, strides: Sequence[int] | int = 1, act: str | None = "leakyrelu"
) -> nn.Module:
    """Convolution, affine instance normalisation, leaky ReLU."""
    norm = ("instance", {"affine": True})
    return Convolution(3, in_channels, out_channels, strides, kernel_size, adn_ordering="NA", act=act, norm=norm, bias=False)


def centres(size: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """(h * w * d, 3): the centre of every voxel, along each axis in [0, 1]."""
    axes = [(torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n for n in size]
    return torch.cartesian_prod(*axes)


def sinusoids(places: torch.Tensor, channels: int) -> torch.Tensor:
    """(T, 3) in [0, 1] -> (T, channels): for each axis sines and cosines in turn, wavelengths of 1 to 10000 volumes."""
    width = channels // 3
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, dtype=places.dtype, device=places.device) / width)
    angles = 2 * math.pi * places[:, :, None] * frequencies  # (T, 3, width / 2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
