"""Embeddings with an encoder's finer levels folded into them -> the embeddings alone, and features for a decoder's stages."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from ..basics.contracts import ReadableStore, SliceEncoder
from ..basics.tokens import PATCH, tokens_to_pixels
from .depth_stream import View

STRIDES = (16, 8, 4, 2)  # of a decoder's stages


class EncoderLevels(nn.Module):
    """(B, M * C, D, h, w) -> for every stage of a decoder nothing, or (B, C_i, D, H / s, W / s) of the encoder's level there.

    A level is unfolded from the channels of its tokens, and narrowed by a 1 x 1 x 1 convolution over all modalities, without a
    bias. Beside a `DetailPyramid` its features are added to the pyramid's of the same stage.

    Args:
        encoder: whose `levels` are given.
        modalities: M.
        out_channels: of each stage, coarsest first, as the decoder's `detail_channels`; stages without a level are not read.

    Raises:
        ValueError: for an encoder without levels.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM3D, EncoderLevels, ResidualDecoder, SAM2SliceEncoder
        >>> hiera = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_att_blocks": ()}  # "hiera_tiny"
        >>> encoder = SAM2SliceEncoder(hiera, levels=[8, 4])
        >>> levels = EncoderLevels(encoder, modalities=1, out_channels=(0, 32, 16, 0))
        >>> decoder = ResidualDecoder(levels.embedding_channels, out_channels=4, detail_channels=(0, 32, 16, 0))
        >>> tuple(SAM3D(encoder, decoder, levels=levels).eval()(torch.rand(1, 1, 40, 33, 6)).shape)
        (1, 4, 40, 33, 6)
    """

    def __init__(self, encoder: SliceEncoder, modalities: int, out_channels: Sequence[int]) -> None:
        super().__init__()
        if not encoder.levels:
            raise ValueError(
                f"{type(encoder).__name__} gives no finer levels; take an encoder that does and choose some, as the overlay "
                "sam2_levels does"
            )
        self.modalities = modalities
        self.levels = tuple(encoder.levels)
        self.split = [encoder.out_channels - sum(level.folded for level in self.levels)]
        self.split += [level.folded for level in self.levels]
        widths = [out_channels[STRIDES.index(level.stride)] for level in self.levels]
        self.narrow = nn.ModuleList(
            nn.Conv3d(modalities * level.channels, width, 1, bias=False)
            for level, width in zip(self.levels, widths, strict=True)
        )

    @property
    def embedding_channels(self) -> int:
        """Of all modalities, without the levels."""
        return self.modalities * self.split[0]

    def embeddings(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, M * C, ...) -> (B, M * c, ...)"""
        return self._part(tokens, 0)

    def forward(self, tokens: torch.Tensor) -> list[torch.Tensor | None]:
        """Coarsest first."""
        return [None if index is None else self._level(tokens, index) for index in self._indices()]

    def stream(self, tokens: ReadableStore) -> list[ReadableStore | None]:
        """`forward` of whatever is read: a level needs no neighbouring slices."""
        return [None if index is None else View(tokens, partial(self._level, index=index)) for index in self._indices()]

    def _indices(self) -> list[int | None]:
        strides = [level.stride for level in self.levels]
        return [strides.index(stride) if stride in strides else None for stride in STRIDES]

    def _level(self, tokens: torch.Tensor, index: int) -> torch.Tensor:
        return self.narrow[index](tokens_to_pixels(self._part(tokens, 1 + index), PATCH // self.levels[index].stride))

    def _part(self, tokens: torch.Tensor, index: int) -> torch.Tensor:
        """Of every modality, one behind the other."""
        return tokens.unflatten(1, (self.modalities, -1)).split(self.split, 2)[index].flatten(1, 2)
