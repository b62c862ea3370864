"""torch's layers of features (B, C, D, h, w), kept on the fast paths of a CPU."""

import torch
from torch.nn import functional as F

from ..basics.recorded import is_recorded

# aten/src/ATen/native/Convolution.cpp, use_mkldnn: of a batch of 1, an input with no more numbers than this along all axes but
# the last two runs without oneDNN, 2 to 5 times slower on a CPU.
SLOW_BELOW = 20480


def conv3d(
    features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int, int]
) -> torch.Tensor:
    """`F.conv3d` with stride 1; where that would be slow, on both halves of the depth as a batch of 2."""
    if is_recorded():  # for any depth
        return F.conv3d(features, weight, bias, padding=padding)
    batch, channels, depth, height, _ = (int(size) for size in features.shape)
    if features.device.type != "cpu" or batch > 1 or channels * depth * height > SLOW_BELOW:
        return F.conv3d(features, weight, bias, padding=padding)
    halo = weight.shape[2] - 1
    slices = depth + 2 * padding[0] - halo  # of the result
    half = -(-slices // 2)
    padded = F.pad(features, (0, 0, 0, 0, padding[0], padding[0] + 2 * half - slices))
    halves = torch.cat([padded[:, :, : half + halo], padded[:, :, half:]])  # they share the halo
    result = F.conv3d(halves, weight, bias, padding=(0, *padding[1:]))
    return torch.cat([result[:1], result[1:]], 2)[:, :, :slices]


def instance_norm(features: torch.Tensor) -> torch.Tensor:
    """`F.instance_norm`; on a CPU as groups of one channel each, which is several times faster.

    Not on a GPU, where autocast runs group normalisation in fp32.
    """
    if features.device.type != "cpu":
        return F.instance_norm(features)
    return F.group_norm(features, features.shape[1])


def enlarge(features: torch.Tensor, mode: str) -> torch.Tensor:
    """Twice the size in the plane, the same depth.

    A linear interpolation in 2-D, to which slices are channels, is faster than one in 3-D that keeps D.

    Args:
        features: (B, C, D, h, w).
        mode: of torch's interpolation in 2-D.
    """
    slices = F.interpolate(features.flatten(0, 1), scale_factor=2.0, mode=mode)  # (B*C, D, 2h, 2w)
    return slices.unflatten(0, features.shape[:2])
