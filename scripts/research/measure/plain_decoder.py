"""A residual decoder -> its formulas as they are written down, on the same weights: what its speed is measured against.

D is the last axis, every convolution runs by itself, and heads come after the upsampling.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from ...networks.residual_decoder import ResidualDecoder, ResidualDoubleConv3d

Layer = Callable[[torch.Tensor], torch.Tensor]


def plain_decoder(decoder: ResidualDecoder) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """(B, C, h, w, D) -> logits of the supervised stages, finest first."""
    stages = [plain_stage(stage) for stage in decoder.stages]
    heads = [_with_depth_last(head) for head in decoder.heads]
    mode = {"linear": "trilinear", "nearest": "nearest"}[decoder.upsample]

    def decode(features: torch.Tensor) -> list[torch.Tensor]:
        levels = []
        for stage in stages:
            features = F.interpolate(stage(features), scale_factor=(2.0, 2.0, 1.0), mode=mode)
            levels.append(features)
        return [head(level) for head, level in zip(heads[::-1], levels[::-1], strict=False)]

    return decode


def plain_stage(stage: ResidualDoubleConv3d) -> Layer:
    """`s(IN(W2 * s(IN(W1 * g))) + IN(W0 * g))`, (B, C, h, w, D) -> (B, C', h, w, D)."""
    branches = _halves(stage.conv1) if stage.shortcut is None else (stage.conv1, stage.shortcut)
    conv1, shortcut, conv2 = (_with_depth_last(convolution) for convolution in (*branches, stage.conv2))

    def run(features: torch.Tensor) -> torch.Tensor:
        residual = conv2(F.leaky_relu(F.instance_norm(conv1(features))))
        return F.leaky_relu(F.instance_norm(residual) + F.instance_norm(shortcut(features)))

    return run


def _halves(convolution: nn.Conv3d) -> Iterator[nn.Conv3d]:
    """Two convolutions that give the first and the second half of its channels."""
    for weight in convolution.weight.chunk(2):
        half = nn.Conv3d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
        half.weight.data = weight.data
        yield half


def _with_depth_last(module: nn.Module) -> nn.Module:
    """A copy whose kernels are (out, in, H, W, D); the decoder's are (out, in, D, H, W)."""
    module = copy.deepcopy(module)
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.weight.data = part.weight.data.movedim(2, -1).contiguous()
    return module
