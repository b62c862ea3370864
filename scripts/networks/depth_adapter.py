"""Tokens of slices -> what to add to each, from those at its place in the slices beside it."""

import torch
from torch import nn
from torch.nn import functional as F


class DepthAdapter(nn.Module):
    """(N, D, h, w, C) -> (N, D, h, w, C) to be added, by a bottleneck that mixes along D; at first exactly zero.

    Normalisation, projection to few channels, a convolution over three slices, GELU, and a projection back that begins at zero:
    the 3-D adapter of MA-SAM (Chen et al., arXiv:2309.08842), whose convolution is depth-wise as in 3DSAM-adapter (Gong et al.,
    arXiv:2306.13465). Here one stands behind each block; MA-SAM has two in it. Beyond the first and the last slice are zeros.

    Args:
        channels: C.
        width: channels of the bottleneck.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)  # as SAM's blocks have it
        self.down = nn.Linear(channels, width)
        self.mix = nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0), groups=width)
        self.up = nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        features = self.down(self.norm(tokens)).movedim(-1, 1)  # (N, width, D, h, w)
        features = F.gelu(self.mix(features)).movedim(1, -1)
        return self.up(features)
