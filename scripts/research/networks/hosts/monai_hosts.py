"""MONAI's U-Net or V-Net -> the same network in two halves, with its skips between them: hosts of a `SkipNetwork`."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import UNet, VNet
from torch import nn


class UNetHost(nn.Module):
    """A `monai.networks.nets.UNet`, which is nested: down, a skip around the next level, up."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet
        self.spatial_dims = unet.dimensions
        self.skip_channels = list(unet.channels[:-1])

    def encode(self, volume: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        downs, bottom, _ = self._parts()
        skips, features = [], volume
        for down in downs:
            features = down(features)
            skips.append(features)
        return skips, bottom(features)

    def decode(self, skips: Sequence[torch.Tensor], bottom: torch.Tensor) -> torch.Tensor:
        _, _, ups = self._parts()
        features = bottom
        for up, skip in zip(reversed(ups), reversed(skips), strict=True):
            features = up(torch.cat([skip, features], 1))
        return features

    def _parts(self) -> tuple[list[nn.Module], nn.Module, list[nn.Module]]:
        """Downs, finest first; the bottom; ups, finest first."""
        downs, ups = [], []
        block: Any = self.unet.model
        for _ in self.skip_channels:
            down, connection, up = block
            downs.append(down)
            ups.append(up)
            block = connection.submodule
        return downs, block, ups


class VNetHost(nn.Module):
    """A `monai.networks.nets.VNet`; its skips have 16, 32, 64 and 128 channels."""

    def __init__(self, vnet: VNet) -> None:
        super().__init__()
        self.vnet = vnet
        self.spatial_dims = vnet.in_tr.spatial_dims
        self.skip_channels = [16, 32, 64, 128]

    def encode(self, volume: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        vnet, skips = self.vnet, [self.vnet.in_tr(volume)]
        for down in (vnet.down_tr32, vnet.down_tr64, vnet.down_tr128):
            skips.append(down(skips[-1]))
        return skips, vnet.down_tr256(skips[-1])

    def decode(self, skips: Sequence[torch.Tensor], bottom: torch.Tensor) -> torch.Tensor:
        vnet, features = self.vnet, bottom
        for up, skip in zip((vnet.up_tr256, vnet.up_tr128, vnet.up_tr64, vnet.up_tr32), reversed(skips), strict=True):
            features = up(features, skip)
        return vnet.out_tr(features)
