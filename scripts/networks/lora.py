"""A weight of SAM's attention -> the same with a trained update of low rank."""

import math

import torch
from torch import nn


class LoRA(nn.Module):
    """Weight (3 C, C) of the projection to queries, keys and values -> the same with its queries and values updated.

    Low-rank adaptation (Hu et al., arXiv:2106.09685, eq. 3): W + alpha / rank * B A, with A drawn at random and B zero, so that
    at first the weight is exactly W. Of queries and values, as in most of the paper's experiments and in micro-sam. The update
    is of the weight, not of its output, so that what is trained and what is merged are the same arithmetic.

    Args:
        channels: C.
        rank: of the updates, at least 1.
        alpha: they are scaled by alpha / rank; equal to the rank it is the scale 1 of micro-sam.

    Raises:
        ValueError: for a rank or an alpha that is not positive.
    """

    def __init__(self, channels: int, rank: int, alpha: float) -> None:
        super().__init__()
        if rank < 1 or alpha <= 0:
            raise ValueError(f"LoRA's rank must be at least 1 and its alpha above 0, got {rank} and {alpha}")
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(2, rank, channels))  # A, of queries and of values
        self.up = nn.Parameter(torch.zeros(2, channels, rank))  # B
        for matrix in self.down:
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))  # as nn.Linear's, which the authors' code has

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        queries, values = self.scale * self.up @ self.down
        return weight + torch.cat([queries, torch.zeros_like(queries), values])
