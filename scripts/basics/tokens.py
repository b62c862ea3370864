"""Pixels -> SAM's tokens, patches of 16 x 16 pixels of a slice."""

import torch
from torch.nn import functional as F

from .recorded import plain

PATCH = 16  # pixels on a side of a token


def tokens(pixels: int) -> int:
    """How many cover that many pixels."""
    return -(-pixels // PATCH)


def padded(pixels: int) -> int:
    """The next multiple of a token's side."""
    return PATCH * tokens(pixels)


def pixels_to_tokens(volume: torch.Tensor) -> torch.Tensor:
    """(B, M, H, W, D) -> (B, 256 * M, ceil(H / 16), ceil(W / 16), D): the pixels of every token as its channels.

    Slices are padded with zeros to whole tokens, as the encoder pads them.
    """
    height, width = int(volume.shape[2]), int(volume.shape[3])
    volume = F.pad(plain(volume), (0, 0, 0, padded(width) - width, 0, padded(height) - height))
    return fold(volume, PATCH)


def fold(features: torch.Tensor, side: int) -> torch.Tensor:
    """(B, C, H, W, D) -> (B, C * side^2, H / side, W / side, D): side x side positions as the channels of one."""
    split = features.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (B, C, h, side, w, side, D)
    return split.permute(0, 1, 3, 5, 2, 4, 6).flatten(1, 3)


def tokens_to_pixels(channels: torch.Tensor, side: int = PATCH) -> torch.Tensor:
    """The inverse, depth first: (B, 256 * M, D, h, w) -> (B, M, D, 16 h, 16 w).

    side: positions on a side of a token, of features coarser than pixels.
    """
    split = channels.unflatten(1, (-1, side, side))  # (B, M, 16, 16, D, h, w)
    return split.permute(0, 1, 4, 5, 2, 6, 3).flatten(5, 6).flatten(3, 4)
