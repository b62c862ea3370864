"""torch's 3-D convolution, kept on its fast path."""

import torch
from torch.nn import functional as F

# aten/src/ATen/native/Convolution.cpp, use_mkldnn: of a batch of 1, an input with no more numbers than this along all axes but
# the last two spatial ones runs without oneDNN, 2 to 5 times slower on a CPU.
SLOW_BELOW = 20480


def conv3d(
    features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int, int]
) -> torch.Tensor:
    """`F.conv3d` with stride 1, its longest axes first where their order decides about the speed."""
    sizes = [int(size) for size in features.shape]
    order = sorted(range(3), key=lambda axis: -sizes[2 + axis])
    if features.device.type != "cpu" or sizes[0] > 1 or sizes[1] * sizes[2] * sizes[3] > SLOW_BELOW or order == [0, 1, 2]:
        return F.conv3d(features, weight, bias, padding=padding)
    there = [0, 1, *(2 + axis for axis in order)]
    back = [there.index(axis) for axis in range(5)]
    result = F.conv3d(features.permute(there), weight.permute(there), bias, padding=[padding[axis] for axis in order])
    return result.permute(back)
