"""DoubleUNet against its formulas, written plainly, the published number of parameters, and VGG's initial weights."""

import torch
from plain_layers import Layer, PlainLayers, enlarge_linearly, fill_at_random, shrink
from torch import nn
from torch.testing import assert_close

from scripts.research.networks.hosts import DoubleUNet

PUBLISHED = 29.68e6  # arXiv:2303.17696, table of results: DoubleUnet without attention
RELEASED = 29_683_556  # counted from the layers of its code, 3 channels -> 1 class
SQUEEZE_BIASES = 1_620  # ours, the code has none
NARROW = (16, 18, 20, 22, 24)


def vgg_block(layers: PlainLayers, convolutions: int) -> Layer:
    convs = [layers.conv() for _ in range(convolutions)]

    def block(x: torch.Tensor) -> torch.Tensor:
        for conv in convs:
            x = conv(x).relu()
        return x

    return block


def squeezed_block(layers: PlainLayers) -> Layer:
    first, second, squeeze = layers.conv_norm_relu(), layers.conv_norm_relu(), layers.squeeze_excitation()
    return lambda x: squeeze(second(first(x)))


def pyramid(layers: PlainLayers) -> Layer:
    branches = [layers.conv_norm_relu()]
    branches += [layers.conv_norm_relu(dilation=dilation, bias=False) for dilation in (1, 6, 12, 18)]
    mix = layers.conv_norm_relu(bias=False)
    return lambda x: mix(torch.cat([branch(x) for branch in branches], 1))


def encode(blocks: list[Layer], image: torch.Tensor) -> list[torch.Tensor]:
    levels = [blocks[0](image)]
    for block in blocks[1:]:
        levels.append(block(shrink(levels[-1])))
    return levels


def decode(blocks: list[Layer], x: torch.Tensor, *skips: list[torch.Tensor]) -> torch.Tensor:
    for block, *level in zip(blocks, *(reversed(levels) for levels in skips), strict=True):
        x = block(torch.cat([*level, enlarge_linearly(x)], 1))
    return x


def plain_double_unet(network: DoubleUNet, image: torch.Tensor, refine: Layer) -> torch.Tensor:
    layers = PlainLayers(network)
    vgg = [vgg_block(layers, convolutions) for convolutions in (2, 2, 4, 4, 4)]
    pyramid1, decoder1, head1 = pyramid(layers), [squeezed_block(layers) for _ in range(4)], layers.conv()
    encoder2, pyramid2 = [squeezed_block(layers) for _ in range(4)], pyramid(layers)
    decoder2, head2 = [squeezed_block(layers) for _ in range(4)], layers.conv()
    layers.require_all_used()
    *skips1, deepest = encode(vgg, image)
    factors = head1(decode(decoder1, pyramid1(deepest), skips1)).sigmoid()
    skips2 = encode(encoder2, image * factors)
    refined = [[refine(skip) for skip in skips] for skips in (skips1, skips2)]
    return head2(decode(decoder2, pyramid2(shrink(skips2[-1])), *refined))


class Negative(nn.Module):
    def __init__(self, channels: list[int], spatial_dims: int) -> None:
        super().__init__()
        assert spatial_dims == 2
        self.channels = channels

    def forward(self, skips: list[torch.Tensor]) -> list[torch.Tensor]:
        assert [skip.shape[1] for skip in skips] == self.channels
        return [-skip for skip in skips]


def test_has_the_published_number_of_parameters() -> None:
    parameters = sum(parameter.numel() for parameter in DoubleUNet(2, in_channels=3, out_channels=1).parameters())
    assert parameters == RELEASED + SQUEEZE_BIASES
    assert abs(parameters / PUBLISHED - 1) < 0.005


def test_equals_the_formulas() -> None:
    network = fill_at_random(DoubleUNet(2, 2, 3, NARROW))
    image = torch.rand(2, 2, 32, 48, dtype=torch.double)
    assert_close(network(image), plain_double_unet(network, image, refine=lambda skip: skip), atol=1e-9, rtol=0)


def test_second_skips_refines_what_the_second_decoder_reads_and_nothing_else() -> None:
    network = fill_at_random(DoubleUNet(2, 2, 3, NARROW, second_skips=Negative))
    image = torch.rand(2, 2, 32, 48, dtype=torch.double)
    assert_close(network(image), plain_double_unet(network, image, refine=lambda skip: -skip), atol=1e-9, rtol=0)


def test_vgg_is_initialised_so_that_two_images_still_differ_after_its_twelve_layers() -> None:
    """By 1e-2 of their difference at the coarsest skip; with torch's own initial weights by 6e-6."""
    network = DoubleUNet(2, 1, 2)
    first, second = torch.rand(2, 1, 1, 64, 64)
    coarsest = [network.encode(image)[0][-1] for image in (first, second)]
    assert (coarsest[0] - coarsest[1]).std() > 3e-3 * (first - second).std()
