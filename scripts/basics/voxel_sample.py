"""Some voxels of a case and what the network says of them: all that its calibration and the quality of its mask need."""

from typing import NamedTuple

import torch


class VoxelSample(NamedTuple):
    """N voxels of the grid of the image's file.

    places: (N,) of int64, in the grid as one row. logits: (N, K), as the network's mask was made from.
    weights: (N,), how many voxels of the file each stands for; their sum is that of all voxels.
    disagreement: (N,), of the networks of an ensemble, see `networks.Ensemble`; None of one network.
    """

    places: torch.Tensor
    logits: torch.Tensor
    weights: torch.Tensor
    disagreement: torch.Tensor | None = None
