"""Image or volume -> what to look at -> logits, by two U-Nets one after the other."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.networks.blocks import ChannelSELayer
from torch import nn

from .encoder_decoder import EncoderDecoder, pool_between, require_a_stride_per_step
from .layers import REDUCTION, Stride, conv_norm_relu, conv_only, conv_relu, interpolate

VGG19 = (2, 2, 4, 4, 4)  # convolutions at every level (Simonyan and Zisserman, arXiv:1409.1556)


class DoubleUNet(nn.Module):
    """DoubleU-Net (Jha et al., arXiv:2006.04868) as a host of Dual Cross-Attention (Ates et al., arXiv:2303.17696).

    The first U-Net, whose encoder is VGG-19's, gives a factor in (0, 1) for every voxel and channel of the image; the second
    reads the product, and its decoder the skips of both encoders. Sizes must be multiples of the product of the strides, 16
    by default.

    `encode` and `decode` hand out the skips of the first encoder, because the second's exist only after the first decoder.
    `second_skips` refines what the second decoder reads: those skips, perhaps once refined, and the second encoder's own. With
    both, there are the three attentions that DCA's code means. (As released it runs neither with them nor without: names are
    undefined.)

    DCA's code, followed here (29.68 M parameters in 2-D), departs from DoubleU-Net's: the pyramids have a convolution of one
    voxel in place of the image's mean, and one of three in place of one; a factor for each channel; the second logits alone
    are the result. Ours from DCA's: skips after ReLU, as DoubleU-Net's; no normalisation as ImageNet's, because the encoder is
    not pretrained; squeeze-excitation is MONAI's, whose linear layers have biases (+ 0.005 % parameters).

    channels: of VGG's levels, finest first, 16 or more. Everything else is half as wide, the pyramids as wide as the finest.
    strides: of every step down, one number or one for each axis.
    dilations: of the pyramids, one number or one for each axis.
    second_skips: makes, of skips' channels and spatial_dims, a module that maps their list to one of the same shapes.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        strides: Sequence[Stride] = (2, 2, 2, 2),
        dilations: Sequence[int | Sequence[int]] = (1, 6, 12, 18),
        second_skips: Callable[[Sequence[int], int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        require_a_stride_per_step(channels, strides)
        *wide, _ = channels
        half = [width // 2 for width in wide]
        both = [first + second for first, second in zip(wide, half, strict=True)]
        self.spatial_dims = spatial_dims
        self.skip_channels = wide

        def pyramid(width: int) -> nn.Module:
            return ConcatenatedPyramid(spatial_dims, width, channels[0], dilations)

        def head(width: int) -> nn.Module:
            return conv_only(spatial_dims, half[0], width, kernel_size=1)

        def u_net(blocks: Sequence[nn.Module], skip_channels: Sequence[int], head: nn.Module) -> EncoderDecoder:
            *encoder, bottom = pool_between(spatial_dims, blocks, strides)
            coarser = [*half[1:], channels[0]]
            decoder = [
                squeezed_block(spatial_dims, skip + below, width)
                for skip, below, width in zip(skip_channels, coarser, half, strict=True)
            ]
            upsampling = [interpolate(spatial_dims, stride) for stride in strides]
            return EncoderDecoder(spatial_dims, skip_channels, encoder, bottom, upsampling[::-1], decoder[::-1], head)

        *vgg, deepest = [vgg_block(spatial_dims, *level) for level in zip([in_channels, *wide], channels, VGG19, strict=True)]
        plain = [squeezed_block(spatial_dims, *level) for level in zip([in_channels, *half[:-1]], half, strict=True)]
        self.first = u_net(
            [*vgg, nn.Sequential(deepest, pyramid(channels[-1]))], wide, nn.Sequential(head(in_channels), nn.Sigmoid())
        )
        self.second = u_net([*plain, pyramid(half[-1])], both, head(out_channels))
        self.first_skips_again = nn.Identity() if second_skips is None else second_skips(wide, spatial_dims)
        self.second_skips = nn.Identity() if second_skips is None else second_skips(half, spatial_dims)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.decode(*self.encode(image))

    def encode(self, image: torch.Tensor) -> tuple[list[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Skips of the first encoder, finest first, and the image with that encoder's bottom."""
        skips, bottom = self.first.encode(image)
        return skips, (image, bottom)

    def decode(self, skips: Sequence[torch.Tensor], image_and_bottom: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        image, first_bottom = image_and_bottom
        factors = self.first.decode(skips, first_bottom)
        second_skips, bottom = self.second.encode(image * factors)
        pairs = zip(self.first_skips_again(skips), self.second_skips(second_skips), strict=True)
        return self.second.decode([torch.cat(pair, 1) for pair in pairs], bottom)


def vgg_block(spatial_dims: int, in_channels: int, out_channels: int, convolutions: int) -> nn.Module:
    """With the initial weights of torchvision's VGG, He's: torch's own would lose the signal, there being no normalisation."""
    before = [in_channels] + [out_channels] * (convolutions - 1)
    layers: list[Any] = [conv_relu(spatial_dims, channels, out_channels) for channels in before]
    for convolution in layers:
        nn.init.kaiming_normal_(convolution.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(convolution.conv.bias)
    return nn.Sequential(*layers)


def squeezed_block(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(
        conv_norm_relu(spatial_dims, in_channels, out_channels),
        conv_norm_relu(spatial_dims, out_channels, out_channels),
        ChannelSELayer(spatial_dims, out_channels, r=REDUCTION),
    )


class ConcatenatedPyramid(nn.Module):
    """A convolution of one voxel and dilated ones of three, side by side, mixed by one of one voxel."""

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, dilations: Sequence[int | Sequence[int]]
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm_relu(spatial_dims, in_channels, out_channels, kernel_size=1)])
        for dilation in dilations:
            self.branches.append(conv_norm_relu(spatial_dims, in_channels, out_channels, dilation=dilation, bias=False))
        mixed = out_channels * len(self.branches)
        self.mix = conv_norm_relu(spatial_dims, mixed, out_channels, kernel_size=1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.mix(torch.cat([branch(features) for branch in self.branches], 1))
