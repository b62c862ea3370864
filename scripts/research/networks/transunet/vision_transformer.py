"""A grid of features -> the same grid, each position having attended to all others in every layer."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from monai.networks.blocks import MLPBlock, SABlock
from torch import nn
from torch.nn import functional as F


class VisionTransformer(nn.Module):
    """(N, in_channels, h, w) -> (N, hidden_size, h, w): ViT-B of Dosovitskiy et al., arXiv:2010.11929, without class token.

    dropout_rate: after the positions and in the MLPs; there is none of attention, as in TransUNet's released code.
    position_grid: the table of learned positions is a square of this size, 14 for 224 x 224 pixels. Other grids get it
        resampled linearly from corner to corner, as the released code does when it reads the weights.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_size: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        dropout_rate: float = 0.1,
        position_grid: int = 14,
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(in_channels, hidden_size, 1)
        self.positions = nn.Parameter(torch.empty(1, hidden_size, position_grid, position_grid))
        nn.init.normal_(self.positions, std=0.02)  # as Google's code
        self.dropout = nn.Dropout(dropout_rate)
        layers = [TransformerLayer(hidden_size, mlp_dim, num_heads, dropout_rate) for _ in range(num_layers)]
        self.layers = cast(Sequence[TransformerLayer], nn.ModuleList(layers))
        self.norm = nn.LayerNorm(hidden_size, eps=1e-6)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens = self._tokens(features)
        for layer in self.layers:
            tokens = layer(tokens)
        grid = tuple(int(size) for size in features.shape[2:])
        return self.norm(tokens).transpose(1, 2).unflatten(2, grid)

    def attention_maps(self, features: torch.Tensor) -> Iterator[torch.Tensor]:
        """Of each layer, first to last, (N, heads, h w, h w): how much each token, a row, takes from which."""
        tokens = self._tokens(features)
        for layer in self.layers:
            yield layer.attention_map(tokens)
            tokens = layer(tokens)

    def _tokens(self, features: torch.Tensor) -> torch.Tensor:
        embedded = self.embedding(features)
        grid = tuple(int(size) for size in embedded.shape[2:])
        positions = self.positions
        if positions.shape[2:] != grid:
            positions = F.interpolate(positions, grid, mode="bilinear", align_corners=True)
        return self.dropout((embedded + positions).flatten(2).transpose(1, 2))  # (N, h w, C)


class TransformerLayer(nn.Module):
    """(N, T, C) -> (N, T, C), normalised before attention and before the MLP.

    MONAI's TransformerBlock has another epsilon, and drops attention where it drops in the MLP.
    """

    def __init__(self, hidden_size: int, mlp_dim: int, num_heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, eps=1e-6)
        self.attn = SABlock(hidden_size, num_heads, qkv_bias=True, use_flash_attention=True)
        self.norm2 = nn.LayerNorm(hidden_size, eps=1e-6)
        self.mlp = MLPBlock(hidden_size, mlp_dim, dropout_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))

    def attention_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, heads, T, T): the weights that fused attention uses and does not give away."""
        query, key, _ = self.attn.input_rearrange(self.attn.qkv(self.norm1(tokens)))  # each (N, heads, T, C / heads)
        return (query @ key.transpose(2, 3) * self.attn.scale).softmax(-1)
