"""Slices -> feature maps of falling resolution, by the first three stages of a ResNet-50 without batch normalisation."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

GROUPS = 32  # of group normalisation


class HybridResNet(nn.Module):
    """(N, M, H, W) -> features, coarsest first: 16 C channels at 1/16 of H and W, 8 C at 1/8, 4 C at 1/4, C at 1/2.

    The ResNet of the hybrid ViT (Dosovitskiy et al., arXiv:2010.11929), as TransUNet's released code builds it: standardised
    kernels, group normalisation, the stride on the 3 x 3 convolution. There the projections are normalised channel by channel
    and the pool has no padding, where Google's network has 32 groups and pads; its weights were published for those.
    Modules have the names of Google's file. H and W are multiples of 16.

    width: C, a multiple of 32.
    units: of each stage.
    """

    def __init__(self, in_channels: int, width: int = 64, units: Sequence[int] = (3, 4, 9)) -> None:
        super().__init__()
        self.conv_root = StandardisedConv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.gn_root = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.block1 = _stage(width, width, units[0], stride=1)
        self.block2 = _stage(4 * width, 2 * width, units[1], stride=2)
        self.block3 = _stage(8 * width, 4 * width, units[2], stride=2)

    def forward(self, slices: torch.Tensor) -> list[torch.Tensor]:
        root = F.relu(self.gn_root(self.conv_root(slices)))  # (N, C, H/2, W/2)
        quarter = self.block1(F.max_pool2d(root, 3, stride=2))  # (N, 4 C, H/4 - 1, W/4 - 1), for want of padding
        eighth = self.block2(quarter)  # (N, 8 C, H/8, W/8)
        sixteenth = self.block3(eighth)  # (N, 16 C, H/16, W/16)
        return [sixteenth, eighth, F.pad(quarter, (0, 1, 0, 1)), root]


class StandardisedConv2d(nn.Conv2d):
    """A convolution whose kernel of every output channel is brought to mean 0 and variance 1 (arXiv:1903.10520)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        kernel = (self.weight - mean) * (variance + 1e-5).rsqrt()
        return F.conv2d(features, kernel, self.bias, self.stride, self.padding)


class Bottleneck(nn.Module):
    """(N, in_channels, h, w) -> (N, 4 channels, h / stride, w / stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * channels
        self.conv1 = StandardisedConv2d(in_channels, channels, 1, bias=False)
        self.gn1 = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.conv2 = StandardisedConv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.gn2 = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.conv3 = StandardisedConv2d(channels, out_channels, 1, bias=False)
        self.gn3 = nn.GroupNorm(GROUPS, out_channels, eps=1e-6)
        projects = stride > 1 or in_channels != out_channels
        self.conv_proj = StandardisedConv2d(in_channels, out_channels, 1, stride, bias=False) if projects else nn.Identity()
        self.gn_proj = nn.GroupNorm(out_channels, out_channels) if projects else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shortcut = self.gn_proj(self.conv_proj(features))
        features = F.relu(self.gn1(self.conv1(features)))
        features = F.relu(self.gn2(self.conv2(features)))
        return F.relu(shortcut + self.gn3(self.conv3(features)))


def _stage(in_channels: int, channels: int, units: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, channels, stride)
    others = [Bottleneck(4 * channels, channels, stride=1) for _ in range(units - 1)]
    return nn.Sequential(OrderedDict((f"unit{i}", unit) for i, unit in enumerate([first, *others], start=1)))
