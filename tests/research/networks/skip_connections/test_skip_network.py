"""SkipNetwork: a host's skips go through what is handed in, and nothing else changes."""

from collections.abc import Sequence

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from scripts.research.networks.skip_connections.dual_cross_attention import DualCrossAttention, SkipControl
from scripts.research.networks.skip_connections.skip_network import SkipNetwork


class ToyHost(nn.Module):
    """Two levels; the logits are the skips and the bottom, at the size of the finest."""

    skip_channels = (4, 8)
    spatial_dims = 2

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 8, 2, stride=2)

    def encode(self, volume: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        coarse = self.down(volume)
        return [volume, coarse], coarse.mean((2, 3), keepdim=True)

    def decode(self, skips: Sequence[torch.Tensor], bottom: torch.Tensor) -> torch.Tensor:
        fine, coarse = skips
        return torch.cat([fine, (coarse + bottom).repeat_interleave(2, 2).repeat_interleave(2, 3)], 1)


class Scale(nn.Module):
    """Level i times i + 2."""

    def __init__(self, channels: Sequence[int], spatial_dims: int) -> None:
        super().__init__()
        self.made_for = (tuple(channels), spatial_dims)

    def forward(self, skips: list[torch.Tensor]) -> list[torch.Tensor]:
        return [(i + 2) * skip for i, skip in enumerate(skips)]


def test_without_a_module_the_host_is_as_it_was() -> None:
    host, volume = ToyHost(), torch.randn(2, 4, 6, 4)
    assert torch.equal(SkipNetwork(host)(volume), host.decode(*host.encode(volume)))


def test_the_module_is_made_for_the_hosts_skips_and_changes_them_alone() -> None:
    host, volume = ToyHost(), torch.randn(2, 4, 6, 4)
    network = SkipNetwork(host, Scale)
    (fine, coarse), bottom = host.encode(volume)
    assert network.skips.made_for == ((4, 8), 2)
    assert torch.equal(network(volume), host.decode([2 * fine, 3 * coarse], bottom))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {
                "_target_": "scripts.research.networks.skip_connections.dual_cross_attention.DualCrossAttention",
                "variant": "adjacent",
            },
            DualCrossAttention,
        ),
        ({"_target_": "scripts.research.networks.skip_connections.dual_cross_attention.SkipControl"}, SkipControl),
    ],
)
def test_a_config_hands_it_in_as_a_callable(config: dict[str, str], expected: type[nn.Module]) -> None:
    parser = ConfigParser({"skips": {**config, "_mode_": "callable"}})
    network = SkipNetwork(ToyHost(), parser.get_parsed_content("skips"))
    assert type(network.skips) is expected
    assert getattr(network.skips, "variant", "adjacent") == "adjacent"
    assert network(torch.randn(2, 4, 6, 4)).shape == (2, 12, 6, 4)


def test_the_skips_module_is_trained_with_the_host() -> None:
    network = SkipNetwork(ToyHost(), SkipControl)
    network(torch.randn(2, 4, 6, 4)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert any(name.startswith("skips.") for name, _ in network.named_parameters())
