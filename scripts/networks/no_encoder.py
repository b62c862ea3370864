"""The encoder of a network that sees the pixels alone."""

import hashlib
from collections.abc import Collection

import torch
from torch import nn

from ..basics.recorded import plain
from ..basics.tokens import tokens


class NoEncoder(nn.Module):
    """(B, M, H, W, D) -> embeddings of no channels, (B, 0, ceil(H / 16), ceil(W / 16), D): the control without an encoder.

    Example:
        >>> import torch
        >>> from scripts.networks import NoEncoder
        >>> tuple(NoEncoder()(torch.rand(1, 1, 40, 33, 6)).shape)
        (1, 0, 3, 3, 6)
    """

    def __init__(self) -> None:
        super().__init__()
        self.trained: frozenset[str] = frozenset()
        self.mixes_slices = False
        self.out_channels = 0
        self.levels = ()

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        batch, _, height, width, depth = volume.shape
        return plain(volume).new_empty(batch, 0, tokens(height), tokens(width), depth)

    def pretrained(self) -> dict[str, torch.Tensor]:
        return {}

    def merged(self) -> dict[str, torch.Tensor]:
        return {}

    def sha256(self, without: Collection[str] = ()) -> torch.Tensor:
        return torch.tensor(list(hashlib.sha256(b"no encoder").digest()), dtype=torch.uint8)
