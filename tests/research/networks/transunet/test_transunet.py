"""TransUNet as published: its size, its work, and what it does with channels and sizes."""

from typing import Any

import pytest
import torch
from runs.test_mixed_precision import assert_near_in_half_precision
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from scripts.networks import AnySize
from scripts.research.networks.transunet import TransUNet

NARROW: dict[str, Any] = {
    "width": 32,
    "units": (1, 1, 1),
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 24,
    "position_grid": 3,
    "decoder_channels": (16, 8, 8, 8, 4),
}


def test_the_published_size_and_work() -> None:
    """105.28 M parameters at 9 classes, 29.2 GMAC for a slice of 224 x 224 pixels; fused attention counts as two products."""
    with torch.device("meta"):
        network, image = TransUNet(in_channels=1, out_channels=9).eval(), torch.zeros(1, 1, 224, 224)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    with FlopCounterMode(display=False) as counter:
        assert network(image).shape == (1, 9, 224, 224)
    assert parameters == 105_277_081
    assert counter.get_total_flops() / 2 == pytest.approx(29.23e9, rel=5e-4)


@pytest.mark.parametrize("size", [(32, 16), (48, 80)])
@pytest.mark.parametrize("in_channels", [1, 2, 3, 4])
def test_slices_of_any_multiple_of_16_and_any_number_of_channels(size: tuple[int, int], in_channels: int) -> None:
    network = TransUNet(in_channels, 5, **NARROW).eval()
    assert network(torch.rand(2, in_channels, *size)).shape == (2, 5, *size)


def test_one_channel_is_repeated_to_three() -> None:
    grey, colour = TransUNet(1, 4, **NARROW).eval(), TransUNet(3, 4, **NARROW).eval()
    colour.load_state_dict(grey.state_dict())
    image = torch.rand(2, 1, 32, 48)
    assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)))


def test_slices_do_not_see_each_other_in_evaluation() -> None:
    network = TransUNet(1, 4, **NARROW).eval()
    slices = torch.rand(3, 1, 32, 48)
    assert_close(network(slices)[1:2], network(slices[1:2]))


def test_every_parameter_learns() -> None:
    network = TransUNet(2, 4, **NARROW)
    logits = network(torch.rand(2, 2, 48, 48))
    (logits * torch.randn_like(logits)).sum().backward()
    without = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
    assert without == []


def test_attention_maps_are_those_of_the_forward_pass_on_the_same_slices() -> None:
    network = TransUNet(1, 4, **NARROW).eval()
    slices = torch.rand(2, 1, 32, 48)
    features: list[torch.Tensor] = []
    network.transformer.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    network(slices)
    maps = list(network.attention_maps(slices))
    assert [attention.shape for attention in maps] == [(2, 2, 6, 6)] * 2
    assert_close(maps, list(network.transformer.attention_maps(features[0])))
    assert_close(maps[-1].sum(-1), torch.ones(2, 2, 6))


def test_it_can_be_traced() -> None:
    network = TransUNet(1, 4, **NARROW).eval()
    traced = torch.jit.trace(network, torch.rand(2, 1, 32, 48))
    image = torch.rand(2, 1, 32, 48)
    assert_close(traced(image), network(image))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_half_precision_stays_finite_and_near(dtype: torch.dtype, tolerance: float) -> None:
    narrow = {"width": 32, "units": (1, 1, 1), "hidden_size": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
    network = TransUNet(1, 4, **narrow, dropout_rate=0.0, position_grid=2, decoder_channels=(16, 16, 8, 8, 8))
    assert_near_in_half_precision(AnySize(network, multiple=(16, 16)).train(), dtype, tolerance)
