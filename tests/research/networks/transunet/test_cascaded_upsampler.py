"""The decoder of TransUNet: by hand in double precision, and each skip where it belongs."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.transunet.cascaded_upsampler import CascadedUpsampler


def doubled(features: torch.Tensor) -> torch.Tensor:
    """Linear interpolation along both axes with the corners kept, by numpy."""
    array = features.numpy()
    for axis in (2, 3):
        size = array.shape[axis]
        at = np.linspace(0, size - 1, 2 * size)
        array = np.apply_along_axis(lambda line, at=at, size=size: np.interp(at, np.arange(size), line), axis, array)
    return torch.from_numpy(array)


def convolved(block: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """3 x 3 convolution, batch normalisation with running statistics, ReLU."""
    norm = block.adn.N
    features = F.conv2d(features, block.conv.weight, padding=1)
    column = (-1, 1, 1)
    features = (features - norm.running_mean.view(column)) / (norm.running_var.view(column) + 1e-5).sqrt()
    return (features * norm.weight.view(column) + norm.bias.view(column)).clamp(min=0)


@torch.no_grad()
def test_the_decoder_is_what_the_paper_says_by_hand() -> None:
    decoder = CascadedUpsampler(6, channels=(8, 5, 4, 3), skip_channels=(3, 2)).double().eval()
    for name, value in decoder.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value))
    features = torch.randn(2, 6, 2, 3, dtype=torch.double)
    skips = [torch.randn(2, 3, 4, 6, dtype=torch.double), torch.randn(2, 2, 8, 12, dtype=torch.double)]
    expected = convolved(decoder.first, features)
    for i, stage in enumerate(decoder.stages):
        expected = torch.cat([doubled(expected), *skips[i : i + 1]], 1)
        expected = convolved(stage[1], convolved(stage[0], expected))
    result = decoder(features, skips)
    assert result.shape == (2, 3, 16, 24)
    assert (result > 0).any()
    assert_close(result, expected)
