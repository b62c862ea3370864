"""Volume -> slices -> a ViT of DINOv2 or DINOv3 -> stacked slice embeddings."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.tokens import PATCH
from .slicewise_encoder import PIXEL_MEAN, PIXEL_STD, SlicewiseEncoder, dimensions_of

SMALL, BASE, LARGE = (
    {"embed_dim": channels, "depth": depth, "num_heads": channels // 64}
    for channels, depth in ((384, 12), (768, 12), (1024, 24))
)
DINOV2 = {"patch_size": 14, "table": 37}  # 37 x 37 positions, of images of 518 pixels
DINOV3 = {"patch_size": 16, "storage_tokens": 4, "eps": 1e-5}
VARIANTS: dict[str, dict[str, Any]] = {
    "dinov2_vits14": SMALL | DINOV2,
    "dinov2_vitb14": BASE | DINOV2,
    "dinov2_vitl14": LARGE | DINOV2,
    "dinov3_vits16": SMALL | DINOV3,
    "dinov3_vitb16": BASE | DINOV3,
    "dinov3_vitl16": LARGE | DINOV3,
}
TABLE_OFFSET = 0.1  # tokens, by which DINOv2's code enlarges the grid that its table is resampled to
ROTARY_BASE = 100.0

Rotation = tuple[torch.Tensor, torch.Tensor]  # cosine and sine, (tokens, C / heads)


class DINOSliceEncoder(SlicewiseEncoder):
    """(B, M, H, W, D) in [0, 1] -> (B, C * M, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    Numerically a ViT of DINOv2 (Oquab et al., arXiv:2304.07193) or DINOv3 (Simeoni et al., arXiv:2508.10104) on the slice
    repeated to three channels: the tokens of its patches after the last normalisation, without class and register tokens.
    The modules hold the parameters under their official names.

    DINOv2 has patches of 14 x 14 pixels: slices, padded with raw zeros to multiples of 16, are resampled by 14 / 16 (bilinear,
    antialiased), so that a token stands for 16 x 16 pixels as it does in the other encoders. Its position table is resampled
    bicubically, as its own code does. DINOv3 has patches of 16 x 16, and rotates queries and keys by their position.

    Args:
        variant: `dinov2_vits14`, `dinov2_vitb14`, `dinov2_vitl14`, `dinov3_vits16`, `dinov3_vitb16`, `dinov3_vitl16`, or the
            dimensions of another ViT (keys as in `VARIANTS`). C is 384, 768 or 1024.
        memory: GB (10^9 bytes) that the intermediate results of the slices encoded at once may take, where a single slice
            takes less; None: by device. Changes speed, not the result.
        trainable: False keeps the encoder in `eval()` and under `no_grad`.

    Raises:
        ValueError: for another variant, and memory that is not positive.

    Example:
        >>> import torch
        >>> from scripts.networks import DINOSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "patch_size": 14, "table": 4}  # "dinov2_vitb14"
        >>> tuple(DINOSliceEncoder(vit)(torch.rand(1, 2, 40, 33, 6)).shape)
        (1, 32, 3, 3, 6)
    """

    # For training alone; DINOv3's frequencies, which are computed.
    unused_tensors = tuple(f"image_encoder.{name}" for name in ("mask_token", "local_cls_norm.", "rope_embed.periods"))

    def __init__(
        self, variant: str | Mapping[str, Any] = "dinov2_vitb14", memory: float | None = None, trainable: bool = False
    ) -> None:
        dimensions = dimensions_of(variant, VARIANTS)
        super().__init__(VisionTransformer(**dimensions), memory, trainable, PIXEL_MEAN, PIXEL_STD)

    @property
    def out_channels(self) -> int:
        return self.image_encoder.cls_token.shape[-1]

    @property
    def token_bytes(self) -> int:
        return 4 * 12 * self.out_channels  # the MLP's 4 C before and after its activation, and 4 C beside it

    def choices(self) -> Iterator[str]:
        yield f"heads {self.image_encoder.num_heads}"  # the weights do not show it

    def encoding(self, height: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
        patches = self.grey_patch_embedding(self.image_encoder.patch_embed["proj"])
        return partial(
            self._encode, grid=(height, width), patches=patches, positions=self.image_encoder.positions(height, width)
        )

    def _encode(
        self,
        slices: torch.Tensor,
        grid: tuple[int, int],
        patches: tuple[torch.Tensor, torch.Tensor],
        positions: torch.Tensor | Rotation,
    ) -> torch.Tensor:
        """(N, 1, 16 h, 16 w) in [0, 1] -> (N, C, h, w)"""
        side = self.image_encoder.patch_size
        if side != PATCH:
            size = [side * length for length in grid]
            slices = F.interpolate(slices, size=size, mode="bilinear", antialias=True)
        tokens = F.conv2d(slices, *patches, stride=side).flatten(2).transpose(1, 2)  # (N, h w, C)
        return self.image_encoder(tokens, positions).transpose(1, 2).unflatten(2, grid)


class VisionTransformer(nn.Module):
    """Patch embeddings (N, h w, C) and their positions -> (N, h w, C), normalised.

    Args:
        embed_dim: channels C.
        depth: blocks.
        num_heads: of attention.
        patch_size: pixels on a side.
        table: positions on a side of a table of them, DINOv2's; None: rotary positions, DINOv3's.
        storage_tokens: registers of DINOv3, which stand behind the class token.
        eps: of layer normalisation.
    """

    def __init__(
        self,
        embed_dim: int,
        depth: int,
        num_heads: int,
        patch_size: int,
        table: int | None = None,
        storage_tokens: int = 0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.patch_size = patch_size
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, embed_dim, patch_size, stride=patch_size)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.storage_tokens = nn.Parameter(torch.zeros(1, storage_tokens, embed_dim)) if storage_tokens else None
        self.pos_embed = None if table is None else nn.Parameter(torch.zeros(1, 1 + table**2, embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=eps)

    def positions(self, height: int, width: int) -> torch.Tensor | Rotation:
        """Of a grid of h x w tokens behind those that are no patch: a table to be added, or rotations."""
        return self._rotation(height, width) if self.pos_embed is None else self._table(self.pos_embed, height, width)

    def _table(self, table: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """(1, 1 + h w, C)"""
        side = math.isqrt(table.shape[1] - 1)
        if (height, width) == (side, side):
            return table
        grid = table[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (1, C, side, side)
        scale = [(length + TABLE_OFFSET) / side for length in (height, width)]
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def _rotation(self, height: int, width: int) -> Rotation:
        """Axial: a quarter of a head's channels turn with the row and a quarter with the column, each twice (`rotate`).

        Rows and columns lie in [-1, 1] whatever their number. Tokens that are no patch are not turned.
        """
        norm = self.norm.weight
        quarter = norm.numel() // self.num_heads // 4
        turns = ROTARY_BASE ** -(torch.arange(quarter, device=norm.device, dtype=norm.dtype) / quarter)
        rows, columns = (
            (2 * torch.arange(length, device=norm.device, dtype=norm.dtype) + 1) / length - 1 for length in (height, width)
        )
        centres = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)  # (h w, 2)
        angles = (2 * math.pi * centres[:, :, None] * turns).flatten(1).tile(2)  # (h w, C / heads)
        angles = F.pad(angles, (0, 0, self.extra_tokens, 0))
        return angles.cos(), angles.sin()

    @property
    def extra_tokens(self) -> int:
        """The class token and the registers, in front of the patches."""
        return 1 + (0 if self.storage_tokens is None else self.storage_tokens.shape[1])

    def forward(self, patches: torch.Tensor, positions: torch.Tensor | Rotation) -> torch.Tensor:
        extra = [self.cls_token] if self.storage_tokens is None else [self.cls_token, self.storage_tokens]
        tokens = torch.cat([*(token.expand(patches.shape[0], -1, -1) for token in extra), patches], 1)  # (N, extra + h w, C)
        rotation = None
        if isinstance(positions, torch.Tensor):
            tokens = tokens + positions
        else:
            rotation = positions
        for block in self.blocks:
            tokens = block(tokens, rotation)
        return self.norm(tokens[:, self.extra_tokens :])


class Block(nn.Module):
    """(N, T, C) -> (N, T, C)"""

    def __init__(self, channels: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attn = Attention(channels, num_heads)
        self.ls1 = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.mlp = MLP(channels)
        self.ls2 = LayerScale(channels)

    def forward(self, tokens: torch.Tensor, rotation: Rotation | None) -> torch.Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens), rotation))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class Attention(nn.Module):
    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: torch.Tensor, rotation: Rotation | None) -> torch.Tensor:
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, T, C / heads)
        if rotation is not None:
            q, k = rotate(q, *rotation), rotate(k, *rotation)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class LayerScale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens * self.gamma


class MLP(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


def rotate(tokens: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Turns channel i and channel i + n / 2 of n by the same angle, as a pair of coordinates (Su et al., arXiv:2104.09864)."""
    first, second = tokens.chunk(2, -1)
    return tokens * cosine.to(tokens.dtype) + torch.cat([-second, first], -1) * sine.to(tokens.dtype)
