"""A 2-D network -> its parameters, in the order of construction, as layers written with torch.nn.functional."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

Layer = Callable[[torch.Tensor], torch.Tensor]


class PlainLayers:
    def __init__(self, network: nn.Module) -> None:
        self._parameters = network.parameters()

    def conv(self, stride: int = 1, dilation: int = 1, bias: bool = True) -> Layer:
        weight = next(self._parameters)
        shift = next(self._parameters) if bias else None
        padding = dilation * (weight.shape[-1] // 2)
        return lambda x: F.conv2d(x, weight, shift, stride, padding, dilation)

    def transposed_conv(self) -> Layer:
        """Of kernel 2 and stride 2: every pixel becomes four."""
        weight, shift = next(self._parameters), next(self._parameters)

        def enlarge(x: torch.Tensor) -> torch.Tensor:
            blocks = torch.einsum("bchw,cdij->bdhiwj", x, weight)
            return blocks.flatten(4, 5).flatten(2, 3) + shift[:, None, None]

        return enlarge

    def norm(self) -> Layer:
        """Over batch and pixels, as batch normalisation does when training."""
        scale, shift = next(self._parameters)[:, None, None], next(self._parameters)[:, None, None]

        def normalise(x: torch.Tensor) -> torch.Tensor:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
            return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

        return normalise

    def conv_norm(self, **options: int) -> Layer:
        conv, norm = self.conv(**options), self.norm()
        return lambda x: norm(conv(x))

    def conv_norm_relu(self, **options: int) -> Layer:
        conv_norm = self.conv_norm(**options)
        return lambda x: conv_norm(x).relu()

    def squeeze_excitation(self) -> Layer:
        w1, b1, w2, b2 = (next(self._parameters) for _ in range(4))

        def squeeze(x: torch.Tensor) -> torch.Tensor:
            factors = ((x.mean((2, 3)) @ w1.T + b1).relu() @ w2.T + b2).sigmoid()
            return x * factors[:, :, None, None]

        return squeeze

    def require_all_used(self) -> None:
        assert next(self._parameters, None) is None


def shrink(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2)


def enlarge_linearly(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def fill_at_random(network: nn.Module) -> nn.Module:
    """No scale or shift keeps its one or zero, so that no layer goes unnoticed. Returned in double precision.

    Squeeze-excitation, the only one with matrices, gets small ones: its few inner units must not all be off.
    """
    for parameter in network.parameters():
        nn.init.normal_(parameter, mean=1.0 if parameter.ndim == 1 else 0.0, std=0.03 if parameter.ndim == 2 else 0.3)
    return network.double()
