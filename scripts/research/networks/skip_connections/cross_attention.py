"""Tokens of one level and of its context -> what the level takes over from its context, across channels or positions.

The two halves of Dual Cross-Attention (Ates et al., arXiv:2303.17696, section 3). Tokens are (B, N, C): N positions.
"""

import torch
from torch import nn
from torch.nn import functional as F

Projected = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # query, key, value


class DepthwiseProjection(nn.Conv1d):
    """(B, N, C) -> (B, N, C): a depth-wise 1 x 1 convolution, that is a factor and a summand for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1, groups=channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        assert self.bias is not None  # which is a convolution's choice
        return tokens * self.weight.view(-1) + self.bias


class ChannelCrossAttention(nn.Module):
    """Every channel of a level asks the channels of its context: (B, N, C), (B, N, C') -> (B, N, C).

    As released, logits are divided by sqrt(C'), although a channel's query and key have N numbers.
    """

    def __init__(self, channels: int, context_channels: int) -> None:
        super().__init__()
        self.query = DepthwiseProjection(channels)
        self.key = DepthwiseProjection(context_channels)
        self.value = DepthwiseProjection(context_channels)
        self.projection = DepthwiseProjection(channels)
        self.scale = context_channels**-0.5

    def forward(self, level: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        attended = F.scaled_dot_product_attention(*self._project(level, context), scale=self.scale)  # (B, C, N)
        return self.projection(attended.transpose(1, 2))

    def weights(self, level: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The map that `forward` applies, (B, C, C'); rows sum to 1."""
        return attention_map(*self._project(level, context)[:2], self.scale)

    def _project(self, level: torch.Tensor, context: torch.Tensor) -> Projected:
        query, key, value = self.query(level), self.key(context), self.value(context)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)  # (B, C, N), twice (B, C', N)


class SpatialCrossAttention(nn.Module):
    """Every position asks every position, in several heads: three times (B, N, any channels) -> (B, N, C).

    query, key, value: projections of the tokens; the first two to equally many channels, the last to `channels`.
    """

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module, channels: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = query, key, value
        self.projection = DepthwiseProjection(channels)
        self.heads = heads

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        attended = F.scaled_dot_product_attention(
            self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        )
        return self.projection(attended.transpose(1, 2).flatten(2))

    def weights(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """The maps that `forward` applies, (B, heads, N, N); rows sum to 1."""
        split = self._split(self.query(query))
        return attention_map(split, self._split(self.key(key)), split.shape[-1] ** -0.5)

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, C / heads)


def attention_map(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """(..., n, d), (..., m, d) -> softmax of the scaled products, (..., n, m)."""
    return (scale * query @ key.transpose(-2, -1)).softmax(-1)
