"""Image or volume -> logits, by a U-Net of multi-resolution blocks with residual paths along its skips."""

from collections.abc import Sequence

import torch
from monai.networks.blocks import UpSample
from monai.networks.layers.factories import Norm
from torch import nn

from .encoder_decoder import EncoderDecoder, pool_between, require_a_stride_per_step
from .layers import Stride, conv_norm, conv_norm_relu, conv_only, norm_relu

WIDENING = 1.67  # alpha of the paper: a block then has about the parameters of the two convolutions that it replaces
SHARES = (0.167, 0.333, 0.5)  # of a block's channels, for its three convolutions


class MultiResUNet(EncoderDecoder):
    """MultiResUNet (Ibtehaz and Rahman, arXiv:1902.04049) as a host of Dual Cross-Attention (Ates et al., arXiv:2303.17696).

    The skips are what the residual paths give: of the widths of `channels`, while the blocks are about 1.67 times as wide.
    Sizes must be multiples of the product of the strides, 16 by default.

    DCA's code, followed here (7.24 M parameters in 2-D), departs from MultiResUNet's: convolutions have a bias and
    normalisations a scale; a path normalises its sums only, before the ReLU; transposed convolutions are normalised, a
    block's end and the logits are not. Ours from DCA's: its attention reads a path's last sum before that is normalised,
    ours the finished skip.

    channels: of the U-Net that this one replaces, finest first.
    strides: of every step down, one number or one for each axis.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        strides: Sequence[Stride] = (2, 2, 2, 2),
    ) -> None:
        require_a_stride_per_step(channels, strides)

        def block(before: int, width: int) -> nn.Module:
            return MultiResBlock(spatial_dims, before, width)

        def up(before: int, after: int, stride: Stride) -> nn.Module:
            enlarge = UpSample(spatial_dims, before, after, scale_factor=stride, mode="deconv")
            return nn.Sequential(enlarge, norm_relu(spatial_dims, after))

        wide = [sum(multires_channels(width)) for width in channels]
        blocks = [block(before, width) for before, width in zip([in_channels, *wide[:-1]], channels, strict=True)]
        *encoder, bottom = pool_between(spatial_dims, blocks, strides)
        steps = list(zip(wide[1:], channels[:-1], strides, strict=True))[::-1]  # upwards
        super().__init__(
            spatial_dims,
            skip_channels=channels[:-1],
            encoder=encoder,
            bottom=bottom,
            upsampling=[up(*step) for step in steps],
            decoder=[block(2 * width, width) for _, width, _ in steps],
            head=conv_only(spatial_dims, wide[0], out_channels, kernel_size=1),
        )
        lengths = range(len(strides), 0, -1)  # the finer the skip, the wider the semantic gap to the decoder
        self.paths = nn.ModuleList(
            residual_path(spatial_dims, *level) for level in zip(wide[:-1], channels[:-1], lengths, strict=True)
        )

    def encode(self, image: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        levels, bottom = super().encode(image)
        return [path(features) for path, features in zip(self.paths, levels, strict=True)], bottom


def multires_channels(width: int) -> list[int]:
    """Of the three convolutions of a block that replaces two of `width` channels."""
    channels = [int(WIDENING * width * share) for share in SHARES]
    if channels[0] < 1:
        raise ValueError(f"channels must be 4 or more, or a convolution of a multi-resolution block is empty, got {width}")
    return channels


class MultiResBlock(nn.Module):
    """`s(BN([y1, y2, y3]) + BN(W x))` of `y1 = f1(x), y2 = f2(y1), y3 = f3(y2)`: fields of 3, 5 and 7 voxels, s ReLU."""

    def __init__(self, spatial_dims: int, in_channels: int, width: int) -> None:
        super().__init__()
        channels = multires_channels(width)
        self.shortcut = conv_norm(spatial_dims, in_channels, sum(channels), kernel_size=1)
        self.convolutions = nn.ModuleList(
            conv_norm_relu(spatial_dims, before, after)
            for before, after in zip([in_channels, *channels], channels, strict=False)
        )
        self.norm = Norm["BATCH", spatial_dims](sum(channels))
        self.activation = nn.ReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        fields = []
        last = features
        for convolution in self.convolutions:
            last = convolution(last)
            fields.append(last)
        return self.activation(self.norm(torch.cat(fields, 1)) + self.shortcut(features))


class ResidualStep(nn.Module):
    """`s(BN(F x + W x))`: F of 3 voxels, W of 1, s ReLU."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = conv_only(spatial_dims, in_channels, out_channels, kernel_size=1)
        self.convolution = conv_only(spatial_dims, in_channels, out_channels)
        self.norm_relu = norm_relu(spatial_dims, out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.norm_relu(self.convolution(features) + self.shortcut(features))


def residual_path(spatial_dims: int, in_channels: int, out_channels: int, length: int) -> nn.Module:
    """The first of `length` steps changes the channels."""
    before = [in_channels] + [out_channels] * (length - 1)
    return nn.Sequential(*(ResidualStep(spatial_dims, channels, out_channels) for channels in before))
