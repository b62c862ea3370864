"""Hosts give what MONAI's networks give, in two halves."""

from collections.abc import Callable

import pytest
import torch
from monai.networks.nets import UNet, VNet
from torch.testing import assert_close

from scripts.research.networks.hosts.monai_hosts import UNetHost, VNetHost
from scripts.research.networks.skip_connections.skip_network import SkipHost, SkipNetwork


def unet(spatial_dims: int, units: int) -> UNet:
    return UNet(spatial_dims, 2, 3, channels=(4, 8, 12, 16), strides=(1, 2, 2), num_res_units=units)


HOSTS = [
    pytest.param(lambda: UNetHost(unet(2, 0)), (16, 24), id="unet-2d"),
    pytest.param(lambda: UNetHost(unet(3, 2)), (8, 12, 4), id="unet-3d-residual"),
    pytest.param(lambda: UNetHost(UNet(2, 2, 3, (4, 8), (2,))), (8, 8), id="unet-one-skip"),
    pytest.param(lambda: VNetHost(VNet(2, 2, 3)), (32, 48), id="vnet-2d"),
    pytest.param(lambda: VNetHost(VNet(3, 2, 3)), (32, 16, 16), id="vnet-3d"),
]
parametrized = pytest.mark.parametrize(("make", "size"), HOSTS)


def wrapped(host: SkipHost) -> UNet | VNet:
    return host.unet if isinstance(host, UNetHost) else host.vnet


@parametrized
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_network_when_its_skips_are_unchanged(
    make: Callable[[], SkipHost], size: tuple[int, ...], training: bool
) -> None:
    host = make()
    host.train(training)
    volume, results = torch.randn(2, 2, *size), []
    for network in (wrapped(host), SkipNetwork(host)):
        torch.manual_seed(1)  # V-Net's dropout
        results.append(network(volume))
    assert_close(results[1], results[0], atol=0, rtol=0)


@parametrized
def test_skips_are_finest_first_and_have_the_channels_stated(make: Callable[[], SkipHost], size: tuple[int, ...]) -> None:
    host = make()
    skips, bottom = host.encode(torch.randn(2, 2, *size))
    assert [skip.shape[1] for skip in skips] == host.skip_channels
    assert host.spatial_dims == len(size)
    cells = [features[0, 0].numel() for features in [*skips, bottom]]
    assert cells == sorted(cells, reverse=True)


@parametrized
def test_every_skip_matters(make: Callable[[], SkipHost], size: tuple[int, ...]) -> None:
    host = make().eval()
    skips, bottom = host.encode(torch.randn(2, 2, *size))
    logits = host.decode(skips, bottom)
    for i in range(len(skips)):
        changed = [torch.zeros_like(skip) if i == j else skip for j, skip in enumerate(skips)]
        assert (host.decode(changed, bottom) - logits).abs().max() > 1e-4
