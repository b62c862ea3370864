"""ResUNetPlusPlus against its formulas, written plainly, and the published number of parameters."""

import torch
from plain_layers import Layer, PlainLayers, fill_at_random, shrink
from torch.testing import assert_close

from scripts.research.networks.hosts import ResUNetPlusPlus

PUBLISHED = 13.1e6  # arXiv:2303.17696, table of results: ResUnet++ without attention
RELEASED = 13_090_980  # counted from the layers of its code, 3 channels -> 1 class
SQUEEZE = 5_628 - 2_816  # ours (biases, reduction by 8) less the code's (no biases, reduction by 8, 16 and 16)


def pre_activated_block(layers: PlainLayers, stride: int) -> Layer:
    before = layers.norm()
    middle, last = layers.conv_norm_relu(stride=stride), layers.conv()
    shortcut = layers.conv(stride=stride)
    return lambda x: last(middle(before(x).relu())) + shortcut(x)


def down(layers: PlainLayers) -> Layer:
    squeeze, block = layers.squeeze_excitation(), pre_activated_block(layers, stride=2)
    return lambda x: block(squeeze(x))


def pyramid(layers: PlainLayers, relu: bool) -> Layer:
    layer = layers.conv_norm_relu if relu else layers.conv_norm
    branches, mix = [layer(dilation=dilation) for dilation in (1, 6, 12, 18)], layer()
    return lambda x: mix(sum(branch(x) for branch in branches))


def plain_resunet_plus_plus(network: ResUNetPlusPlus, image: torch.Tensor) -> torch.Tensor:
    layers = PlainLayers(network)
    stem = layers.conv_norm_relu(), layers.conv(), layers.conv()
    downs = [down(layers) for _ in range(3)]
    bridge = pyramid(layers, relu=False)
    decoder = [pre_activated_block(layers, stride=1) for _ in range(3)]
    last, head = pyramid(layers, relu=True), layers.conv()
    gates = [[layers.norm(), layers.conv(), layers.norm(), layers.conv(), layers.norm(), layers.conv()] for _ in range(3)]
    layers.require_all_used()
    skips = [stem[1](stem[0](image)) + stem[2](image)]
    for step in downs:
        skips.append(step(skips[-1]))
    x = bridge(skips.pop())
    for block, (norm1, conv1, norm2, conv2, norm3, conv3) in zip(decoder, gates, strict=True):
        skip = skips.pop()
        gate = conv3(norm3(shrink(conv1(norm1(skip).relu())) + conv2(norm2(x).relu())).relu())
        doubled = (x * gate).repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = block(torch.cat([doubled, skip], 1))
    return head(last(x))


def test_has_the_published_number_of_parameters() -> None:
    parameters = sum(parameter.numel() for parameter in ResUNetPlusPlus(2, in_channels=3, out_channels=1).parameters())
    assert parameters == RELEASED + SQUEEZE
    assert abs(parameters / PUBLISHED - 1) < 0.005


def test_equals_the_formulas() -> None:
    network = fill_at_random(ResUNetPlusPlus(2, 2, 3, channels=(8, 9, 10, 11, 12)))
    image = torch.rand(2, 2, 24, 32, dtype=torch.double)
    assert_close(network(image), plain_resunet_plus_plus(network, image), atol=1e-9, rtol=0)
