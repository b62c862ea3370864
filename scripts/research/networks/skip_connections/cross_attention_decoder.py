"""Slice embeddings with the outputs of ViT blocks -> attention among the blocks -> a decoder's logits."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from ....basics.contracts import Decoder, NewStore, ReadableStore
from ....networks.depth_stream import keep, parts


class CrossAttentionDecoder(nn.Module):
    """(B, M * (E + n * C), h, w, D) of a `SAMSliceEncoder` with n `blocks` -> the logits of `decoder`, finest first.

    The blocks' outputs take the place of a U-Net's skips: each is reduced by a 1 x 1 x 1 convolution, all go through
    `attention`, and the decoder gets them after the neck's embedding: (B, M * E + n * reduced_channels, h, w, D).

    encoder_channels: the encoder's `channels`, [E, C, ..., C].
    attention: makes a module for n levels, as in `SkipNetwork`: of the levels' channels and the number of spatial dimensions.
    spatial_dims: 2: attention within each slice, as the encoder's own; 3: within the volume.
    """

    def __init__(
        self,
        decoder: Decoder,
        attention: Callable[[Sequence[int], int], nn.Module],
        encoder_channels: Sequence[int],
        modalities: int = 1,
        reduced_channels: int = 64,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if len(encoder_channels) < 2:
            raise ValueError(
                f"encoder_channels must be those of the neck and of at least one block, got {list(encoder_channels)}; "
                "give the encoder `blocks`"
            )
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 (slices) or 3 (the volume), got {spatial_dims}")
        self.encoder_channels, self.spatial_dims = list(encoder_channels), spatial_dims
        blocks = self.encoder_channels[1:]
        self.reductions = nn.ModuleList(nn.Conv3d(modalities * c, reduced_channels, 1) for c in blocks)
        self.attention = attention([reduced_channels] * len(blocks), spatial_dims)
        self.decoder = decoder
        # The blocks' embeddings and what they are reduced to, fp32, a token for 256 voxels.
        extra = modalities * sum(blocks) + len(blocks) * reduced_channels
        self.bytes_per_voxel = decoder.bytes_per_voxel + -(-4 * extra // 256)

    def forward(self, embeddings: torch.Tensor) -> list[torch.Tensor]:
        return self.decoder(self._refine(embeddings))

    def stream(self, embeddings: ReadableStore, new_store: NewStore, slices: int) -> Iterator[torch.Tensor]:
        """`forward` in evaluation, part by part, see `ResidualDecoder.stream`.

        Attention within the volume needs all embeddings at once; they are small beside the decoder's feature maps.
        """
        at_once = slices if self.spatial_dims == 2 else embeddings.depth
        refined = (self._refine(part.movedim(2, -1)).movedim(-1, 2) for part in parts(embeddings, at_once))
        return self.decoder.stream(keep(refined, new_store()), new_store, slices)

    def _refine(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, M * (E + n * C), h, w, D) -> (B, M * E + n * reduced_channels, h, w, D)."""
        by_modality = embeddings.unflatten(1, (-1, sum(self.encoder_channels)))  # (B, M, E + n * C, h, w, D)
        neck, *blocks = (part.flatten(1, 2) for part in by_modality.split(self.encoder_channels, 2))
        levels = [reduce(block) for reduce, block in zip(self.reductions, blocks, strict=True)]
        if self.spatial_dims == 3:
            return torch.cat([neck, *self.attention(levels)], 1)
        depth = int(embeddings.shape[-1])
        slices = [level.movedim(-1, 1).flatten(0, 1) for level in levels]  # (B*D, reduced, h, w)
        levels = [level.unflatten(0, (-1, depth)).movedim(1, -1) for level in self.attention(slices)]
        return torch.cat([neck, *levels], 1)
