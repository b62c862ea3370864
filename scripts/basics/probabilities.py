"""Logits <-> log-probabilities of classes or regions -> how undecided a voxel is between them."""

from math import log

import torch
from torch.nn import functional as F


def log_probabilities(logits: torch.Tensor, regions: bool, dim: int = 1) -> torch.Tensor:
    """Of classes, which exclude each other: log-softmax. Of regions, each by itself: (2, ...), inside and outside of it.

    Where logits are not finite the result is NaN: a probability of 0 or 1 would hide that they are not.

    Args:
        logits: with K channels at `dim`, of classes or of regions.
        regions: whether each channel is a region by itself.
        dim: of the channels.

    Example:
        >>> import torch
        >>> from scripts.basics.probabilities import log_probabilities
        >>> log_probabilities(torch.tensor([[0.0, 0.0]]), regions=False).exp()
        tensor([[0.5000, 0.5000]])
        >>> tuple(log_probabilities(torch.zeros(1, 3, 8, 8, 4), regions=True).shape)
        (2, 1, 3, 8, 8, 4)
    """
    logits = logits.float().masked_fill(~logits.isfinite(), torch.nan)
    if regions:
        return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)])  # 1 - sigmoid(x) is sigmoid(-x)
    return F.log_softmax(logits, dim)


def logits_of(log_probabilities: torch.Tensor, regions: bool) -> torch.Tensor:
    """The inverse: whose softmax, or with regions whose sigmoid, these are. A region begins at 0."""
    return log_probabilities[0] - log_probabilities[1] if regions else log_probabilities


def entropy(log_probabilities: torch.Tensor, regions: bool, dim: int = 1) -> torch.Tensor:
    """Shannon's entropy as a share of the largest that there can be, log K of classes and log 2 of a region: 0 to 1.

    Args:
        log_probabilities: as the function of this name gives them.
        regions: whether each channel is a region by itself; then it is the mean of the regions' entropies.
        dim: of the channels, as there.

    Returns:
        As the logits, with one channel.

    Example:
        >>> import torch
        >>> from scripts.basics.probabilities import entropy
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log(), regions=False)
        tensor([[1.],
                [0.]])
    """
    # 0 log 0 counts 0; NaN stays NaN.
    surprise = -log_probabilities.exp() * log_probabilities.clamp_min(torch.finfo(log_probabilities.dtype).min)
    if regions:
        return surprise.sum(0).mean(dim, keepdim=True) / log(2)
    return surprise.sum(dim, keepdim=True) / log(log_probabilities.shape[dim])
