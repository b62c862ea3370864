"""Image or volume -> logits, by a residual U-Net with squeeze-excitation, atrous pyramids and gated upsampling."""

from collections.abc import Callable, Sequence

import torch
from monai.networks.blocks import ChannelSELayer, UpSample
from torch import nn

from .encoder_decoder import EncoderDecoder, require_a_stride_per_step
from .layers import REDUCTION, Stride, conv_norm, conv_norm_relu, conv_only, max_pool, norm_relu


class ResUNetPlusPlus(EncoderDecoder):
    """ResUNet++ (Jha et al., arXiv:1911.07067) as a host of Dual Cross-Attention (Ates et al., arXiv:2303.17696).

    Three skips; the last of `channels` is the atrous pyramid's, at the size of the one before. Sizes must be multiples of
    the product of the strides, 8 by default.

    DCA's code, followed here (13.1 M parameters in 2-D), departs from ResUNet++'s: twice the width; squeeze-excitation at
    the encoder's steps only; shortcuts are not normalised, the stem's has a kernel of 3; the gate has one channel; pyramids
    end with normalisation, the last one has ReLUs. Ours from DCA's: squeeze-excitation is MONAI's, whose linear layers have
    biases, and reduces by 8 everywhere, as in ResUNet++, where DCA's code has 8, 16 and 16 (+ 0.02 % parameters).

    channels: of every level, finest first, and of the bottom; 8 or more.
    strides: of every step down, one number or one for each axis.
    dilations: of the atrous pyramids, one number or one for each axis.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        strides: Sequence[Stride] = (2, 2, 2),
        dilations: Sequence[int | Sequence[int]] = (1, 6, 12, 18),
    ) -> None:
        *levels, bottom = channels
        require_a_stride_per_step(levels, strides)

        def down(before: int, after: int, stride: Stride) -> nn.Module:
            squeeze = ChannelSELayer(spatial_dims, before, r=REDUCTION)
            return nn.Sequential(squeeze, PreActivatedBlock(spatial_dims, before, after, stride))

        def up(stride: Stride) -> nn.Module:
            return UpSample(spatial_dims, scale_factor=stride, mode="nontrainable", interp_mode="nearest", align_corners=None)

        *downs, deepest = [down(*step) for step in zip(levels[:-1], levels[1:], strides, strict=True)]
        below = [*levels[2:], bottom]  # what the decoder enlarges: the bottom and its own stages
        decoder = [
            PreActivatedBlock(spatial_dims, coarse + skip, after, stride=1)
            for coarse, skip, after in zip(below, levels[:-1], levels[1:], strict=True)
        ]
        gates = [Gate(spatial_dims, *level) for level in zip(levels[:-1], below, strides, strict=True)]
        super().__init__(
            spatial_dims,
            skip_channels=levels[:-1],
            encoder=[Stem(spatial_dims, in_channels, levels[0]), *downs],
            bottom=nn.Sequential(deepest, SummedPyramid(spatial_dims, levels[-1], bottom, dilations, conv_norm)),
            upsampling=[up(stride) for stride in reversed(strides)],
            decoder=decoder[::-1],
            head=nn.Sequential(
                SummedPyramid(spatial_dims, levels[1], levels[0], dilations, conv_norm_relu),
                conv_only(spatial_dims, levels[0], out_channels, kernel_size=1),
            ),
        )
        self.gates = nn.ModuleList(gates[::-1])

    def decode(self, skips: Sequence[torch.Tensor], bottom: torch.Tensor) -> torch.Tensor:
        features = bottom
        stages = zip(self.gates, self.upsampling, self.decoder, reversed(skips), strict=True)
        for gate, enlarge, stage, skip in stages:
            gated = features * gate(skip, features)
            features = stage(torch.cat([enlarge(gated), skip], 1))
        return self.head(features)


class Stem(nn.Module):
    """`W2 * s(BN(W1 * x)) + W0 * x`, s ReLU."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            conv_norm_relu(spatial_dims, in_channels, out_channels), conv_only(spatial_dims, out_channels, out_channels)
        )
        self.shortcut = conv_only(spatial_dims, in_channels, out_channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.convolutions(image) + self.shortcut(image)


class PreActivatedBlock(nn.Module):
    """`W2 * s(BN(W1 * s(BN(x)))) + W0 x`: W1 and W0 shrink by the stride, W0 is of one voxel, s ReLU."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, stride: Stride) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            norm_relu(spatial_dims, in_channels),
            conv_norm_relu(spatial_dims, in_channels, out_channels, strides=stride),
            conv_only(spatial_dims, out_channels, out_channels),
        )
        self.shortcut = conv_only(spatial_dims, in_channels, out_channels, strides=stride, kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.convolutions(features) + self.shortcut(features)


class SummedPyramid(nn.Module):
    """The sum of convolutions of several dilations, mixed by one of a single voxel, at the same size."""

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        dilations: Sequence[int | Sequence[int]],
        convolution: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            convolution(spatial_dims, in_channels, out_channels, dilation=dilation) for dilation in dilations
        )
        self.mix = convolution(spatial_dims, out_channels, out_channels, kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.mix(sum(branch(features) for branch in self.branches))


class Gate(nn.Module):
    """Skip and the coarser features below it -> one number for each of the latter's voxels, not bounded."""

    def __init__(self, spatial_dims: int, skip_channels: int, channels: int, stride: Stride) -> None:
        super().__init__()
        self.of_skip = nn.Sequential(
            norm_relu(spatial_dims, skip_channels),
            conv_only(spatial_dims, skip_channels, channels),
            max_pool(spatial_dims, stride),
        )
        self.of_features = nn.Sequential(norm_relu(spatial_dims, channels), conv_only(spatial_dims, channels, channels))
        self.of_both = nn.Sequential(norm_relu(spatial_dims, channels), conv_only(spatial_dims, channels, 1, kernel_size=1))

    def forward(self, skip: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return self.of_both(self.of_skip(skip) + self.of_features(features))  # (B, 1, ...)
