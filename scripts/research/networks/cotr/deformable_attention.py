"""Queries and feature maps of several sizes -> what each query finds at a few points of its own choice in all of them."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F


class MultiScaleDeformableAttention(nn.Module):
    """Zhu et al., "Deformable DETR" (arXiv:2010.04159), eq. 3, in 3-D: (B, T, C) -> (B, T, C).

    Each head of a query reads P points of every level, by trilinear interpolation at the query's place plus an offset, both
    offsets and weights being linear in the query. Outside of the map there is 0. The first offsets go 1, ..., P voxels along
    one half axis for each head in turn: six directions, where the paper's 2-D ones go around a circle.
    """

    def __init__(self, channels: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"channels must be a multiple of num_heads, got {channels} and {num_heads}; change one of them")
        self.shape = (num_heads, num_levels, num_points)
        points = num_heads * num_levels * num_points
        self.offsets = nn.Linear(channels, 3 * points)
        self.weights = nn.Linear(channels, points)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        for linear in (self.offsets, self.weights):
            nn.init.zeros_(linear.weight)
        for linear in (self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.weights, self.value, self.output):
            nn.init.zeros_(linear.bias)
        directions = torch.cat([torch.eye(3), -torch.eye(3)])[torch.arange(num_heads) % 6]
        steps = torch.arange(1.0, num_points + 1)
        offsets = torch.einsum("mx,p->mpx", directions, steps)[:, None].expand(*self.shape, 3)
        self.offsets.bias = nn.Parameter(offsets.flatten())

    def forward(
        self, queries: torch.Tensor, references: torch.Tensor, tokens: torch.Tensor, sizes: Sequence[tuple[int, int, int]]
    ) -> torch.Tensor:
        """references: (T, 3), the queries' places, in [0, 1] along each axis; tokens: all levels' (B, S, C), of these sizes."""
        offsets = self.offsets(queries).unflatten(-1, (*self.shape, 3))  # (B, T, heads, levels, points, 3), in voxels
        weights = self.point_weights(queries)
        levels = self.value(tokens).split([h * w * d for h, w, d in sizes], 1)
        found = []
        for level, (values, size) in enumerate(zip(levels, sizes, strict=True)):
            places = references[:, None, None] + offsets[:, :, :, level] / references.new_tensor(size)
            read = self.read(values, size, places)  # (B, T, heads, points, c)
            found.append((weights[:, :, :, level, :, None] * read).sum(3))
        return self.output(reduce(torch.add, found).flatten(2))

    def point_weights(self, queries: torch.Tensor) -> torch.Tensor:
        """(B, T, heads, levels, points); of a head over all points of all levels they sum to 1."""
        weights = self.weights(queries).unflatten(-1, (self.shape[0], -1))
        return weights.softmax(-1).unflatten(-1, self.shape[1:])

    def read(self, values: torch.Tensor, size: tuple[int, int, int], places: torch.Tensor) -> torch.Tensor:
        """A level (B, h * w * d, C) at places (B, T, heads, points, 3): (B, T, heads, points, c)."""
        heads = self.shape[0]
        volumes = values.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, size)  # (B * heads, c, ...)
        # From -1 to 1, last axis first, as grid_sample counts.
        grid = (2 * places - 1).flip(-1).transpose(1, 2).flatten(0, 1)[:, :, :, None]  # (B * heads, T, points, 1, 3)
        # In half precision places would be off by a hundredth of a voxel.
        read = F.grid_sample(volumes.to(grid.dtype), grid, padding_mode="zeros", align_corners=False)[..., 0]
        return read.unflatten(0, (-1, heads)).permute(0, 3, 1, 4, 2)
