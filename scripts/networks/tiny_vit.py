"""Images -> TinyViT as MobileSAM uses it -> embeddings at 1/16, under the names of MobileSAM's file."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from .segment_anything import LayerNorm2d
from .windows import over_windows


class TinyViT(nn.Module):
    """(N, 3, 16 h, 16 w), normalised pixels -> (N, out_channels, h, w).

    Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", arXiv:2207.10666, in the form of Zhang et
    al., "Faster Segment Anything" (MobileSAM), arXiv:2306.14289: the last stage stays at 1/16, and SAM's neck takes the place
    of the classifier. The released code runs at 1024 x 1024 alone, this one at any multiple of 16: no table depends on the
    size, since there are only convolutions, and attention within windows whose biases are those of distances in tokens.

    Batch normalisation uses the statistics that were loaded, also in training, so that slices stay independent of each other.

    Args:
        embed_dims: channels of the stages, at 1/4, 1/8, 1/16 and 1/16; each of the last three a multiple of its num_heads.
        depths: blocks of the stages.
        num_heads: of the attention of the stages, of which the first has none.
        window_sizes: tokens on a side of the attention's windows, likewise.
        out_channels: of the neck.
    """

    def __init__(
        self,
        embed_dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_sizes: Sequence[int],
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        first, last = embed_dims[0], len(embed_dims) - 1
        self.patch_embed = PatchEmbedding(first)
        self.layers = nn.ModuleList()
        for stage, (channels, depth, heads, window) in enumerate(zip(embed_dims, depths, num_heads, window_sizes, strict=True)):
            blocks = [TinyViTBlock(channels, heads, window) if stage else InvertedResidual(channels) for _ in range(depth)]
            merging = None if stage == last else PatchMerging(channels, embed_dims[stage + 1], 2 if stage + 1 < last else 1)
            self.layers.append(Stage(blocks, merging))
        self.neck = nn.Sequential(
            nn.Conv2d(embed_dims[-1], out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.patch_embed(images)  # (N, C, 4 h, 4 w)
        for stage in self.layers:
            features = stage(features)
        return self.neck(features)


class ConvNorm(nn.Sequential):
    """A convolution, and the batch normalisation after it as part of the kernel: no pass over the features of its own."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        norm = self.bn
        scale = norm.weight * (cast(torch.Tensor, norm.running_var) + norm.eps).rsqrt()
        bias = norm.bias - cast(torch.Tensor, norm.running_mean) * scale
        kernel = self.c.weight * scale[:, None, None, None]
        return F.conv2d(features, kernel, bias, self.c.stride, self.c.padding, groups=self.c.groups)


class PatchEmbedding(nn.Module):
    """(N, 3, 16 h, 16 w) -> (N, C, 4 h, 4 w)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, channels // 2, 3, 2), nn.GELU(), ConvNorm(channels // 2, channels, 3, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.seq(images)


class Stage(nn.Module):
    """Blocks, and what leads to the next stage."""

    def __init__(self, blocks: Sequence[nn.Module], merging: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = merging

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            features = block(features)
        return features if self.downsample is None else self.downsample(features)


class InvertedResidual(nn.Module):
    """The block of the first stage: four times the channels within, a convolution of each by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, 4 * channels)
        self.conv2 = ConvNorm(4 * channels, 4 * channels, 3, groups=4 * channels)
        self.conv3 = ConvNorm(4 * channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = F.gelu(self.conv2(F.gelu(self.conv1(features))))
        return F.gelu(features + self.conv3(inner))


class PatchMerging(nn.Module):
    """(N, C, a, b) -> (N, C', a / stride, b / stride)"""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, out_channels)
        self.conv2 = ConvNorm(out_channels, out_channels, 3, stride, groups=out_channels)
        self.conv3 = ConvNorm(out_channels, out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(features)))))


class TinyViTBlock(nn.Module):
    """Window attention, a convolution of each channel by itself, and an MLP; (N, C, h, w) -> the same."""

    def __init__(self, channels: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(channels, num_heads, window)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)
        self.mlp = MLP(channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = features + self.attn(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        tokens = self.local_conv(features).permute(0, 2, 3, 1)  # (N, h, w, C)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class MLP(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(tokens))))


class WindowAttention(nn.Module):
    """(N, h, w, C) -> (N, h, w, C) within windows; a bias for each distance (|rows|, |columns|) between two tokens.

    TinyViT pads the grid with zeros to whole windows, before its normalisation, and lets the padding take part in the softmax.
    All padding of a window has the same key and value and differs only in its biases, so it acts as one virtual key, as in
    `sam_encoder.attend`: no padded token is computed.
    """

    def __init__(self, channels: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, window**2))  # of distances, columns fastest

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(self.norm(tokens))  # (N, h, w, 3 C)
        return self.proj(over_windows(qkv, (self.window, self.window), self._attend_within))

    def _attend_within(self, qkv: torch.Tensor) -> torch.Tensor:
        """Attention of the a x b real tokens of each window, (n, a, b, 3 C) -> (n, a, b, C)."""
        real_h, real_w = (int(size) for size in qkv.shape[1:3])
        q, k, v = self._heads(qkv.flatten(1, 2))
        bias, padding = self._biases(real_h, real_w)
        if (real_h, real_w) != (self.window, self.window):
            _, k_padding, v_padding = self._heads(self.qkv(self.norm.bias)[None, None].to(qkv.dtype))  # norm(0) is its bias
            k = torch.cat([k, k_padding.expand(k.shape[0], -1, -1, -1)], 2)
            v = torch.cat([v, v_padding.expand(v.shape[0], -1, -1, -1)], 2)
            bias = torch.cat([bias, padding.logsumexp(-1, keepdim=True)], -1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype)[None])  # (n, heads, a b, C / heads)
        return attended.transpose(1, 2).flatten(2).unflatten(1, (real_h, real_w))

    def _heads(self, qkv: torch.Tensor) -> Any:
        """(n, tokens, 3 C) -> queries, keys and values, each (n, heads, tokens, C / heads)."""
        return qkv.unflatten(2, (self.num_heads, 3, -1)).permute(3, 0, 2, 1, 4)

    def _biases(self, a: int, b: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the a x b real tokens at the window's top left: (heads, a b, a b) to each other, and (heads, a b, padding)."""
        places = torch.arange(self.window, device=self.attention_biases.device)
        distances = (places[:, None] - places).abs()
        table = self.attention_biases.unflatten(1, (self.window, self.window))
        biases = table[:, distances[:a, None, :, None], distances[None, :b, None, :]]  # (heads, a, b, window, window)
        biases = biases.flatten(1, 2)  # (heads, a b, window, window)
        padding = torch.cat([biases[..., :a, b:].flatten(2), biases[..., a:, :].flatten(2)], -1)
        return biases[..., :a, :b].flatten(2), padding
