"""Coarse features and finer ones -> features at full resolution, doubled step by step."""

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional as F


class CascadedUpsampler(nn.Module):
    """(N, in_channels, h, w) and skips at 2, 4, 8 times its resolution -> (N, channels[-1], 16 h, 16 w).

    The "CUP" of TransUNet (Chen et al., arXiv:2102.04306): a convolution, then stages of doubling, appending the skip, and two
    convolutions, all 3 x 3 with batch normalisation and ReLU. The last stage has no skip.

    channels: of the first convolution and of each stage.
    skip_channels: of the skips, coarsest first.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], skip_channels: Sequence[int]) -> None:
        super().__init__()
        self.first = _convolution(in_channels, channels[0])
        self.stages = nn.ModuleList(
            nn.Sequential(_convolution(before + skip, after), _convolution(after, after))
            for before, skip, after in zip(channels[:-1], [*skip_channels, 0], channels[1:], strict=True)
        )

    def forward(self, features: torch.Tensor, skips: Sequence[torch.Tensor]) -> torch.Tensor:
        features = self.first(features)
        for i, stage in enumerate(self.stages):
            # the released code's UpsamplingBilinear2d aligns corners
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
            features = stage(torch.cat([features, *skips[i : i + 1]], 1))
        return features


def _convolution(in_channels: int, out_channels: int) -> nn.Module:
    return Convolution(2, in_channels, out_channels, adn_ordering="NA", act="RELU", norm="BATCH", bias=False)
