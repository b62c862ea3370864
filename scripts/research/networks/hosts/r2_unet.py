"""Image or volume -> logits, by a U-Net of recurrent residual convolutions."""

from collections.abc import Sequence

import torch
from torch import nn

from .encoder_decoder import EncoderDecoder, pool_between, require_a_stride_per_step
from .layers import Stride, conv_norm_relu, conv_only, interpolate, norm_relu


class R2UNet(EncoderDecoder):
    """R2U-Net (Alom et al., arXiv:1802.06955) as a host of Dual Cross-Attention (Ates et al., arXiv:2303.17696).

    Sizes must be multiples of the product of the strides, 16 by default.

    DCA's code, followed here (9.78 M parameters in 2-D), departs from R2U-Net's formulas: one kernel for input and state;
    batch normalisation; a block's second recurrence has no ReLU, its sum has one. Ours from DCA's: its attention reads a
    block's sum before that is normalised, ours the finished skip.

    channels: of every level, finest first.
    strides: of every step down, one number or one for each axis.
    recurrences: how often a convolution is repeated after its first time, t in the paper.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        strides: Sequence[Stride] = (2, 2, 2, 2),
        recurrences: int = 2,
    ) -> None:
        require_a_stride_per_step(channels, strides)

        def block(before: int, after: int) -> nn.Module:
            return RecurrentResidualBlock(spatial_dims, before, after, recurrences)

        def up(before: int, after: int, stride: Stride) -> nn.Module:
            return nn.Sequential(interpolate(spatial_dims, stride), conv_norm_relu(spatial_dims, before, after))

        blocks = [block(before, after) for before, after in zip([in_channels, *channels[:-1]], channels, strict=True)]
        *encoder, bottom = pool_between(spatial_dims, blocks, strides)
        steps = list(zip(channels[1:], channels[:-1], strides, strict=True))[::-1]  # upwards
        super().__init__(
            spatial_dims,
            skip_channels=channels[:-1],
            encoder=encoder,
            bottom=bottom,
            upsampling=[up(*step) for step in steps],
            decoder=[block(2 * width, width) for _, width, _ in steps],
            head=conv_only(spatial_dims, channels[0], out_channels, kernel_size=1),
        )


class RecurrentResidualBlock(nn.Module):
    """`s(BN(x' + R2(R1(s(BN(x'))))))` of `x' = W x`: W of one voxel, s ReLU; R1 with BN and ReLU, R2 with neither."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, recurrences: int) -> None:
        super().__init__()
        self.project = conv_only(spatial_dims, in_channels, out_channels, kernel_size=1)
        self.norm_relu_before = norm_relu(spatial_dims, out_channels)
        self.recurrent = nn.Sequential(
            RecurrentConvolution(conv_norm_relu(spatial_dims, out_channels, out_channels), recurrences),
            RecurrentConvolution(conv_only(spatial_dims, out_channels, out_channels), recurrences),
        )
        self.norm_relu_after = norm_relu(spatial_dims, out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        projected = self.project(features)
        return self.norm_relu_after(projected + self.recurrent(self.norm_relu_before(projected)))


class RecurrentConvolution(nn.Module):
    """`y_0 = f(x)`, `y_i = f(x + y_(i-1))` with the same weights every time -> y_t."""

    def __init__(self, convolution: nn.Module, recurrences: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.recurrences = recurrences

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        state = self.convolution(features)
        for _ in range(self.recurrences):
            state = self.convolution(features + state)
        return state
