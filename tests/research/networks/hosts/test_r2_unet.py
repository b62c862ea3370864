"""R2UNet against its formulas, written plainly, and the published number of parameters."""

import torch
from plain_layers import Layer, PlainLayers, enlarge_linearly, fill_at_random, shrink
from torch.testing import assert_close

from scripts.research.networks.hosts import R2UNet

PUBLISHED = 9.78e6  # arXiv:2303.17696, table of results: R2Unet without attention
RELEASED = 9_781_729  # counted from the layers of its code, 3 channels -> 1 class


def recurrent_residual_block(layers: PlainLayers) -> Layer:
    project, before = layers.conv(), layers.norm()
    first, second = layers.conv_norm_relu(), layers.conv()
    after = layers.norm()

    def block(x: torch.Tensor) -> torch.Tensor:
        x = project(x)
        y = before(x).relu()
        y = first(y + first(y + first(y)))
        y = second(y + second(y + second(y)))
        return after(x + y).relu()

    return block


def plain_r2_unet(network: R2UNet, image: torch.Tensor) -> torch.Tensor:
    layers = PlainLayers(network)
    encoder = [recurrent_residual_block(layers) for _ in range(5)]
    upsampling = [layers.conv_norm_relu() for _ in range(4)]
    decoder = [recurrent_residual_block(layers) for _ in range(4)]
    head = layers.conv()
    layers.require_all_used()
    levels = [encoder[0](image)]
    for block in encoder[1:]:
        levels.append(block(shrink(levels[-1])))
    x = levels.pop()
    for up, block in zip(upsampling, decoder, strict=True):
        x = block(torch.cat([levels.pop(), up(enlarge_linearly(x))], 1))
    return head(x)


def test_has_the_published_number_of_parameters() -> None:
    parameters = sum(parameter.numel() for parameter in R2UNet(2, in_channels=3, out_channels=1).parameters())
    assert parameters == RELEASED
    assert abs(parameters / PUBLISHED - 1) < 0.005


def test_equals_the_formulas() -> None:
    network = fill_at_random(R2UNet(2, 2, 3, channels=(4, 5, 6, 7, 8)))
    image = torch.rand(2, 2, 32, 48, dtype=torch.double)
    assert_close(network(image), plain_r2_unet(network, image), atol=1e-9, rtol=0)
