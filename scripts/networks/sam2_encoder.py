"""Volume -> slices -> SAM 2.1's Hiera image encoder -> stacked slice embeddings."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.contracts import Level
from ..basics.tokens import PATCH
from .slicewise_encoder import PIXEL_MEAN, PIXEL_STD, SlicewiseEncoder, dimensions_of
from .windows import over_windows

# The published encoders (sam2/configs/sam2.1). Shared: strides 4, 8, 16 and 32, at each twice the width, 256 output channels.
VARIANTS: dict[str, dict[str, Any]] = {
    "hiera_tiny": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 7, 2), "global_att_blocks": (5, 7, 9)},
    "hiera_small": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 11, 2), "global_att_blocks": (7, 10, 13)},
    "hiera_base_plus": {
        "embed_dim": 112,
        "num_heads": 2,
        "stages": (2, 3, 16, 3),
        "global_att_blocks": (12, 16, 20),
        "window_pos_embed_bkg_spatial_size": (14, 14),
    },
    "hiera_large": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_att_blocks": (23, 33, 43),
        "window_spec": (8, 4, 16, 8),
    },
}
STRIDES = (4, 8, 16, 32)  # of the stages
NECK = 256  # channels of the feature pyramid
# By stride, coarsest first: the channels that SAM 2's mask decoder makes of the pyramid's finer levels, and by what.
LEVELS, CONVS = {8: 64, 4: 32}, {8: "conv_s1", 4: "conv_s0"}


class SAM2SliceEncoder(SlicewiseEncoder):
    """(B, M, H, W, D) in [0, 1] -> (B, 256 * M, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    Numerically SAM 2's image encoder (Ravi et al., "SAM 2: Segment Anything in Images and Videos", arXiv:2408.00714) on the
    slice repeated to three channels: Hiera (Ryali et al., arXiv:2306.00989) and its feature pyramid, of which the level at
    stride 16 is given, `vision_features`. The constant that SAM 2 adds for "no memory" is not. The modules hold the parameters
    under their official names. The padding of attention windows is summed up, exactly, instead of computed.

    With `levels` the pyramid's finer levels follow, as SAM 2 hands them to its mask decoder (`conv_s1`, `conv_s0`), folded to
    the grid of tokens: a token's features of a level are its channels, so that whatever caches, stores and streams embeddings
    handles one tensor. `EncoderLevels` unfolds them.

    The last stage has a stride of 32 pixels: slices are padded with raw zeros to its multiples, and the embedding is cropped.
    For slices other than 1024 x 1024 the background position table is resampled bicubically, as in SAM 2 itself.

    Args:
        variant: `hiera_tiny`, `hiera_small`, `hiera_base_plus`, `hiera_large`, or the dimensions of another Hiera (keys as in
            `VARIANTS`).
        memory: GB (10^9 bytes) that the intermediate results of the slices encoded at once may take, where a single slice
            takes less; None: by device. Changes speed, not the result.
        trainable: False keeps the encoder in `eval()` and under `no_grad`.
        levels: strides of the finer levels that are given too, falling: of 8 (64 channels, 256 folded) and 4 (32, 512 folded).

    Raises:
        ValueError: for another variant, memory that is not positive, and levels that are not there.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM2SliceEncoder
        >>> hiera = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_att_blocks": ()}  # "hiera_tiny"
        >>> tuple(SAM2SliceEncoder(hiera)(torch.rand(1, 2, 40, 33, 6)).shape)
        (1, 512, 3, 3, 6)
    """

    def __init__(
        self,
        variant: str | Mapping[str, Any] = "hiera_tiny",
        memory: float | None = None,
        trainable: bool = False,
        levels: Sequence[int] = (),
    ) -> None:
        dimensions = dimensions_of(variant, VARIANTS)
        if list(levels) != [stride for stride in LEVELS if stride in levels]:
            raise ValueError(f"levels must be strides of {', '.join(map(str, LEVELS))}, falling, got {list(levels)}")
        self.strides = tuple(levels)
        self.unused_tensors = tuple(f"image_encoder.{conv}." for stride, conv in CONVS.items() if stride not in levels)
        super().__init__(ImageEncoder(Hiera(**dimensions), levels), memory, trainable, PIXEL_MEAN, PIXEL_STD)

    @property
    def levels(self) -> list[Level]:
        return [Level(LEVELS[stride], stride) for stride in self.strides]

    @property
    def out_channels(self) -> int:
        return NECK + sum(level.folded for level in self.levels)

    @property
    def token_bytes(self) -> int:
        # The first stage has 16 tokens for each of the others': the MLP's 4 C before and after its activation, 4 C beside it.
        return 16 * 4 * 12 * self.image_encoder.trunk.pos_embed.shape[1]

    def choices(self) -> Iterator[str]:
        yield self.image_encoder.trunk.arrangement  # the weights do not show it

    def encoding(self, height: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
        rows, columns = (STRIDES[-1] * -(-length * PATCH // STRIDES[-1]) for length in (height, width))
        positions = self.image_encoder.trunk.positions(rows // STRIDES[0], columns // STRIDES[0])
        return partial(self._encode, plane=(rows, columns), grid=(height, width), positions=positions)

    def _encode(
        self, slices: torch.Tensor, plane: tuple[int, int], grid: tuple[int, int], positions: torch.Tensor
    ) -> torch.Tensor:
        """(N, 1, 16 h, 16 w) in [0, 1] -> (N, 256, h, w), and behind the 256 the folded levels"""
        slices = F.pad(slices, (0, plane[1] - PATCH * grid[1], 0, plane[0] - PATCH * grid[0]))  # raw intensity 0
        mean, std = (slices.new_tensor(values).view(3, 1, 1) for values in (self.pixel_mean, self.pixel_std))
        coarse, *finer = self.image_encoder((255 * slices - mean) / std, positions)
        folded = [F.pixel_unshuffle(level, PATCH // stride) for level, stride in zip(finer, self.strides, strict=True)]
        return torch.cat([coarse, *folded], 1)[:, :, : grid[0], : grid[1]]


class ImageEncoder(nn.Module):
    """Hiera and the feature pyramid: (N, 3, H, W) normalised -> (N, 256, H / 16, W / 16), and the levels of finer strides."""

    def __init__(self, trunk: "Hiera", strides: Sequence[int]) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = FeaturePyramid(trunk.channels[::-1])
        self.conv_s1 = nn.Conv2d(NECK, LEVELS[8], 1) if 8 in strides else None  # of SAM 2's mask decoder
        self.conv_s0 = nn.Conv2d(NECK, LEVELS[4], 1) if 4 in strides else None

    def forward(self, images: torch.Tensor, positions: torch.Tensor) -> list[torch.Tensor]:
        stages = self.trunk(images, positions)
        finer = [
            reduce(self.neck.lateral(stages, stride)) for stride, reduce in ((8, self.conv_s1), (4, self.conv_s0)) if reduce
        ]
        return [self.neck(stages), *finer]


class FeaturePyramid(nn.Module):
    """The stages' outputs, finest first -> the level at stride 16.

    SAM 2's pyramid hands the coarsest level down to this one alone; the two finer ones are 1 x 1 convolutions of their stage.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        convs = [nn.Sequential() for _ in channels]  # coarsest first
        for conv, width in zip(convs, channels, strict=True):
            conv.add_module("conv", nn.Conv2d(width, NECK, 1))
        self.convs = nn.ModuleList(convs)

    def lateral(self, stages: Sequence[torch.Tensor], stride: int) -> torch.Tensor:
        index = STRIDES.index(stride)
        return self.convs[-1 - index](stages[index])

    def forward(self, stages: Sequence[torch.Tensor]) -> torch.Tensor:
        coarsest = F.interpolate(self.lateral(stages, 32), scale_factor=2.0, mode="nearest")
        return self.lateral(stages, 16) + coarsest


class Hiera(nn.Module):
    """(N, 3, H, W) normalised, of multiples of 32 -> (N, C_i, H / s, W / s) of the stages, s = 4, 8, 16, 32.

    Args:
        embed_dim: channels C of the first stage; each other has twice those of the one before.
        num_heads: of attention in the first stage, likewise.
        stages: blocks of each.
        global_att_blocks: indices of the blocks whose attention has no windows.
        window_pos_embed_bkg_spatial_size: of the background position table.
        window_spec: tokens on a side of the windows of each stage; the first block of a stage has those of the stage before.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        stages: Sequence[int],
        global_att_blocks: Sequence[int],
        window_pos_embed_bkg_spatial_size: Sequence[int] = (7, 7),
        window_spec: Sequence[int] = (8, 4, 14, 7),
    ) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, embed_dim, 7, stride=4, padding=3)})
        self.pos_embed = nn.Parameter(torch.zeros(1, embed_dim, *window_pos_embed_bkg_spatial_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, embed_dim, window_spec[0], window_spec[0]))
        self.channels = [embed_dim * 2**stage for stage in range(len(stages))]
        self.arrangement = f"heads {num_heads} stages {(*stages,)} global {(*global_att_blocks,)} windows {(*window_spec,)}"
        blocks, self.ends = [], []
        for stage, count in enumerate(stages):
            for first in (True, *[False] * (count - 1)):
                window = window_spec[max(0, stage - 1) if first else stage]
                before = embed_dim * 2 ** (max(0, stage - 1) if first else stage)
                size = 0 if len(blocks) in global_att_blocks else window
                blocks.append(Block(before, self.channels[stage], num_heads * 2**stage, size))
            self.ends.append(len(blocks) - 1)
        self.blocks = cast(Sequence[Block], nn.ModuleList(blocks))

    def positions(self, height: int, width: int) -> torch.Tensor:
        """(1, h, w, C): the background table at h x w tokens, and that of a window in each."""
        background = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        side = self.pos_embed_window.shape[-1]
        window = self.pos_embed_window.tile(1, 1, -(-height // side), -(-width // side))
        return (background + window[:, :, :height, :width]).permute(0, 2, 3, 1)

    def forward(self, images: torch.Tensor, positions: torch.Tensor) -> list[torch.Tensor]:
        tokens = self.patch_embed["proj"](images).permute(0, 2, 3, 1) + positions  # (N, h, w, C)
        outputs = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in self.ends:
                outputs.append(tokens.permute(0, 3, 1, 2))
        return outputs


class Block(nn.Module):
    """(N, h, w, C) -> (N, h, w, C), or, where a stage begins, (N, h / 2, w / 2, 2 C)."""

    def __init__(self, in_channels: int, out_channels: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(in_channels, eps=1e-6)
        self.attn = Attention(in_channels, out_channels, num_heads)
        self.norm2 = nn.LayerNorm(out_channels, eps=1e-6)
        self.mlp = MLP(out_channels)
        self.proj = None if in_channels == out_channels else nn.Linear(in_channels, out_channels)
        self.window = window

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        normed = self.norm1(tokens)
        shortcut = tokens if self.proj is None else pool(self.proj(normed))
        tokens = shortcut + self.attn(normed, self.window, pooled=self.proj is not None)
        return tokens + self.mlp(self.norm2(tokens))


class Attention(nn.Module):
    """(N, h, w, C) -> (N, h, w, C'), or of pooled queries (N, h / 2, w / 2, C')."""

    def __init__(self, in_channels: int, out_channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(in_channels, 3 * out_channels)
        self.proj = nn.Linear(out_channels, out_channels)

    def forward(self, tokens: torch.Tensor, window: int, pooled: bool) -> torch.Tensor:
        """window: tokens on a side, 0 for all of them."""
        size = (window or int(tokens.shape[1]), window or int(tokens.shape[2]))
        return self.proj(over_windows(self.qkv(tokens), size, partial(self._within, of=size[0] * size[1], pooled=pooled)))

    def _within(self, qkv: torch.Tensor, of: int, pooled: bool) -> torch.Tensor:
        """The a x b real tokens of a window `of` so many, (n, a, b, 3 C') -> (n, a, b, C').

        Hiera pads the grid with zeros to whole windows and lets the padding take part in the softmax. All of it has the same
        key and value, the projection's bias, so that it acts as one key whose weight is their number.
        """
        q, k, v = qkv.chunk(3, -1)
        q = pool(q) if pooled else q
        rows, columns = (int(size) for size in q.shape[1:3])
        q, k, v = (self._heads(part.flatten(1, 2)) for part in (q, k, v))
        padding, mask = of - int(k.shape[2]), None
        if padding:
            _, k_padding, v_padding = self._heads(self.qkv.bias.to(k.dtype).view(3, 1, -1))
            k = torch.cat([k, k_padding.expand(k.shape[0], -1, -1, -1)], 2)
            v = torch.cat([v, v_padding.expand(v.shape[0], -1, -1, -1)], 2)
            mask = F.pad(k.new_full((1, 1), math.log(padding)), (int(k.shape[2]) - 1, 0))
        tokens = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return tokens.transpose(1, 2).flatten(2).unflatten(1, (rows, columns))

    def _heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, T, C) -> (n, heads, T, C / heads)"""
        return tokens.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.layers[1](F.gelu(self.layers[0](tokens)))


def pool(tokens: torch.Tensor) -> torch.Tensor:
    """(N, h, w, C) -> (N, h / 2, w / 2, C)"""
    return F.max_pool2d(tokens.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
