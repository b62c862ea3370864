"""MultiResUNet against its formulas, written plainly, and the published number of parameters."""

import pytest
import torch
from plain_layers import Layer, PlainLayers, fill_at_random, shrink
from torch.testing import assert_close

from scripts.research.networks.hosts import MultiResUNet

PUBLISHED = 7.24e6  # arXiv:2303.17696, table of results: MultiResUnet without attention
RELEASED = 7_244_070  # counted from the layers of its code, 3 channels -> 1 class


def multires_block(layers: PlainLayers) -> Layer:
    shortcut = layers.conv_norm()
    first, second, third = (layers.conv_norm_relu() for _ in range(3))
    norm = layers.norm()

    def block(x: torch.Tensor) -> torch.Tensor:
        y1 = first(x)
        y2 = second(y1)
        y3 = third(y2)
        return (norm(torch.cat([y1, y2, y3], 1)) + shortcut(x)).relu()

    return block


def residual_path(layers: PlainLayers, length: int) -> Layer:
    steps = [(layers.conv(), layers.conv(), layers.norm()) for _ in range(length)]

    def path(x: torch.Tensor) -> torch.Tensor:
        for shortcut, conv, norm in steps:
            x = norm(conv(x) + shortcut(x)).relu()
        return x

    return path


def plain_multires_unet(network: MultiResUNet, image: torch.Tensor) -> torch.Tensor:
    layers = PlainLayers(network)
    encoder = [multires_block(layers) for _ in range(5)]
    upsampling = [(layers.transposed_conv(), layers.norm()) for _ in range(4)]
    decoder = [multires_block(layers) for _ in range(4)]
    head = layers.conv()
    paths = [residual_path(layers, length) for length in (4, 3, 2, 1)]
    layers.require_all_used()
    levels = [encoder[0](image)]
    for block in encoder[1:]:
        levels.append(block(shrink(levels[-1])))
    x = levels.pop()
    for (up, norm), block in zip(upsampling, decoder, strict=True):
        x = block(torch.cat([paths.pop()(levels.pop()), norm(up(x)).relu()], 1))
    return head(x)


def test_has_the_published_number_of_parameters() -> None:
    parameters = sum(parameter.numel() for parameter in MultiResUNet(2, in_channels=3, out_channels=1).parameters())
    assert parameters == RELEASED
    assert abs(parameters / PUBLISHED - 1) < 0.005


def test_equals_the_formulas() -> None:
    network = fill_at_random(MultiResUNet(2, 2, 3, channels=(4, 5, 6, 7, 8)))
    image = torch.rand(2, 2, 32, 48, dtype=torch.double)
    assert_close(network(image), plain_multires_unet(network, image), atol=1e-9, rtol=0)


def test_a_width_that_leaves_a_convolution_empty_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"channels must be 4 or more.*got 3"):
        MultiResUNet(2, 1, 2, channels=(3, 4, 4, 4, 4))
