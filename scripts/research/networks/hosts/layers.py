"""The layers that the hosts share: MONAI's, with the normalisation, activation and interpolation that they chose."""

from collections.abc import Sequence
from functools import partial

from monai.networks.blocks import ADN, Convolution, UpSample
from monai.networks.layers.factories import Pool
from torch import nn

Stride = int | Sequence[int]  # of one step down or up, for all axes or for each
REDUCTION = 8  # of the channels inside squeeze-excitation

conv_only = partial(Convolution, conv_only=True)
conv_relu = partial(Convolution, norm=None, act="relu")
conv_norm = partial(Convolution, norm="batch", act=None)
conv_norm_relu = partial(Convolution, norm="batch", act="relu")


def norm_relu(spatial_dims: int, channels: int) -> nn.Module:
    return ADN("NA", channels, act="relu", norm="batch", norm_dim=spatial_dims)


def max_pool(spatial_dims: int, stride: Stride) -> nn.Module:
    return Pool["MAX", spatial_dims](stride)


def interpolate(spatial_dims: int, stride: Stride) -> nn.Module:
    """Linearly, and corners stay corners, as in the code of the Dual Cross-Attention paper."""
    return UpSample(spatial_dims, scale_factor=stride, mode="nontrainable", align_corners=True)
