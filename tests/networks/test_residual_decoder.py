"""ResidualDecoder against its formulas, written plainly."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import ResidualDecoder

ORIGINAL = {"shortcut_kernel": 1, "upsample": "nearest", "supervised_stages": 3, "head": "convolutional", "conv_bias": True}
PRESETS = [pytest.param({}, id="default"), pytest.param(ORIGINAL, id="original")]
NARROW_CHANNELS = (16, 8, 8, 4)


def normalise(features: torch.Tensor) -> torch.Tensor:
    mean = features.mean((2, 3, 4), keepdim=True)
    variance = (features - mean).square().mean((2, 3, 4), keepdim=True)
    return (features - mean) / (variance + 1e-5).sqrt()


def leaky(features: torch.Tensor) -> torch.Tensor:
    return torch.where(features > 0, features, 0.01 * features)


def convolve(features: torch.Tensor, convolution: nn.Conv3d, channels: slice = slice(None)) -> torch.Tensor:
    """With zeros around, so that the size stays; kernels are (out, in, D, H, W)."""
    weight = convolution.weight[channels].movedim(2, -1)
    bias = None if convolution.bias is None else convolution.bias[channels]
    return F.conv3d(features, weight, bias, padding=weight.shape[-1] // 2)


def enlarge(features: torch.Tensor, upsample: str) -> torch.Tensor:
    """Every slice by itself, twice as large."""
    if upsample == "nearest":
        return features.repeat_interleave(2, 2).repeat_interleave(2, 3)
    slices = [F.interpolate(part, scale_factor=2, mode="bilinear", align_corners=False) for part in features.unbind(-1)]
    return torch.stack(slices, -1)


def plain_decoder(decoder: ResidualDecoder, features: torch.Tensor) -> list[torch.Tensor]:
    """The stages and heads of the specification, heads after upsampling, on the decoder's weights."""
    levels = []
    for stage in decoder.stages:
        width = stage.conv2.out_channels
        first = convolve(features, stage.conv1, slice(width))
        if stage.shortcut is None:
            shortcut = convolve(features, stage.conv1, slice(width, None))
        else:
            shortcut = convolve(features, stage.shortcut)
        residual = normalise(convolve(leaky(normalise(first)), stage.conv2))
        features = enlarge(leaky(residual + normalise(shortcut)), decoder.upsample)
        levels.append(features)
    logits = []
    for level, head in zip(levels[::-1], list(decoder.heads)[::-1], strict=False):
        if isinstance(head, nn.Conv3d):
            logits.append(convolve(level, head))
        else:
            logits.append(convolve(leaky(normalise(convolve(level, head[0]))), head[-1]))
    return logits


@pytest.mark.parametrize(("options", "parameters"), [({}, 2_941_016), (ORIGINAL, 1_880_258)], ids=["default", "original"])
def test_has_the_published_number_of_parameters(options: dict[str, Any], parameters: int) -> None:
    decoder = ResidualDecoder(256, 14, **options)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == parameters


@pytest.mark.parametrize("options", PRESETS)
def test_equals_the_formulas(options: dict[str, Any]) -> None:
    decoder = ResidualDecoder(12, 3, NARROW_CHANNELS, **options).double()
    embeddings = torch.randn(2, 12, 3, 2, 3, dtype=torch.double)
    logits, expected = decoder(embeddings), plain_decoder(decoder, embeddings)
    assert len(logits) == len(expected) == options.get("supervised_stages", 4)
    for level, reference in zip(logits, expected, strict=True):
        assert_close(level, reference, atol=1e-10, rtol=0)


@pytest.mark.parametrize("options", PRESETS)
@pytest.mark.parametrize(("height", "width", "depth"), [(2, 3, 1), (1, 2, 4), (1, 1, 5)])
def test_levels_are_finest_first_and_keep_the_depth(options: dict[str, Any], height: int, width: int, depth: int) -> None:
    decoder = ResidualDecoder(12, 3, NARROW_CHANNELS, **options)
    shapes = [tuple(level.shape) for level in decoder(torch.randn(2, 12, height, width, depth))]
    assert shapes == [(2, 3, scale * height, scale * width, depth) for scale in (16, 8, 4, 2)][: len(shapes)]


def test_gradients_reach_every_parameter() -> None:
    decoder = ResidualDecoder(12, 3, NARROW_CHANNELS)
    sum(level.square().mean() for level in decoder(torch.randn(1, 12, 2, 3, 2))).backward()
    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None or not parameter.grad.any()] == []


def test_a_volume_of_one_position_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"single position.*more than one slice"):
        ResidualDecoder(12, 3, NARROW_CHANNELS)(torch.randn(2, 12, 1, 1, 1))


@pytest.mark.parametrize(
    ("option", "value"), [("upsample", "cubic"), ("head", "mlp"), ("supervised_stages", 0), ("supervised_stages", 5)]
)
def test_a_wrong_option_is_refused_in_words(option: str, value: str | int) -> None:
    with pytest.raises(ValueError, match=f"{option} must be .*{value}"):
        ResidualDecoder(12, 3, NARROW_CHANNELS, **{option: value})
