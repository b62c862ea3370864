"""Encoder stages, a bottom and decoder stages -> a U-shaped network in two halves."""

from collections.abc import Sequence

import torch
from torch import nn

from .layers import Stride, max_pool


class EncoderDecoder(nn.Module):
    """`encode`: image -> (skips finest first, bottom); `decode`: (skips, bottom) -> logits at the size of the image.

    Between the halves a module may refine the skips, size and channels unchanged.

    skip_channels: of every skip, finest first.
    encoder: stages, finest first; every stage gives a skip, and all but the first begin by shrinking.
    bottom: what is below the coarsest skip; begins by shrinking.
    upsampling, decoder: coarsest first.
    """

    def __init__(
        self,
        spatial_dims: int,
        skip_channels: Sequence[int],
        encoder: Sequence[nn.Module],
        bottom: nn.Module,
        upsampling: Sequence[nn.Module],
        decoder: Sequence[nn.Module],
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.skip_channels = list(skip_channels)
        self.encoder = nn.ModuleList(encoder)
        self.bottom = bottom
        self.upsampling = nn.ModuleList(upsampling)
        self.decoder = nn.ModuleList(decoder)
        self.head = head

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.decode(*self.encode(image))

    def encode(self, image: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        skips = []
        features = image
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        return skips, self.bottom(features)

    def decode(self, skips: Sequence[torch.Tensor], bottom: torch.Tensor) -> torch.Tensor:
        features = bottom
        for enlarge, stage, skip in zip(self.upsampling, self.decoder, reversed(skips), strict=True):
            features = stage(torch.cat([skip, enlarge(features)], 1))
        return self.head(features)


def require_a_stride_per_step(channels: Sequence[int], strides: Sequence[Stride]) -> None:
    if len(strides) != len(channels) - 1:
        raise ValueError(
            f"strides must be one for each step down, {len(channels) - 1} for channels {list(channels)}, got {list(strides)}"
        )


def pool_between(spatial_dims: int, blocks: Sequence[nn.Module], strides: Sequence[Stride]) -> list[nn.Module]:
    """Blocks, finest first -> as many stages, of which all but the first begin with max pooling."""
    first, *others = blocks
    pools = [max_pool(spatial_dims, stride) for stride in strides]
    return [first, *(nn.Sequential(pool, block) for pool, block in zip(pools, others, strict=True))]
