"""Networks with and without a slice encoder are applied in the same windows."""

import pytest
import torch
from monai.transforms import SpatialPad
from torch import nn

from scripts.inferers import EmbeddingInferer, VolumeInferer
from scripts.networks import SAM3D


class WithoutEncoder(nn.Module):
    """The same network, its encoder out of sight."""

    def __init__(self, network: SAM3D) -> None:
        super().__init__()
        self.whole = [network]
        self.depths: list[int] = []

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        self.depths.append(volume.shape[-1])
        return self.whole[0](volume)


@pytest.mark.parametrize("mode", ["windows", "whole"])
@pytest.mark.parametrize("depth", [1, 6, 11])
@torch.no_grad()
def test_any_network_is_applied_as_one_with_an_encoder(narrow_network: SAM3D, mode: str, depth: int) -> None:
    volume = torch.rand(2, 1, 32, 48, depth)
    inferer = VolumeInferer(6, mode)
    with_encoder = inferer(volume, narrow_network)
    assert torch.equal(with_encoder, EmbeddingInferer(6, mode)(volume, narrow_network))
    other = WithoutEncoder(narrow_network)
    torch.testing.assert_close(inferer(volume, other), with_encoder, atol=1e-5, rtol=1e-5)
    assert set(other.depths) == ({depth} if mode == "whole" else {6})


@torch.no_grad()
def test_a_shallow_volume_is_padded_as_in_training(narrow_network: SAM3D) -> None:
    volume = torch.rand(1, 1, 32, 32, 3)
    padded = SpatialPad((-1, -1, 6))(volume[0])[None].as_tensor()
    expected = narrow_network(padded)[..., 1:4]
    torch.testing.assert_close(VolumeInferer(6)(volume, WithoutEncoder(narrow_network)), expected, atol=1e-5, rtol=1e-5)
