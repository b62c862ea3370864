"""Logits on the network's grid -> probabilities on the image's own grid, one class or region at a time."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Invertd

SLICES = 16  # worked on at once where all classes are needed together

Transform = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def probabilities(logits: torch.Tensor, regions: bool) -> Iterator[torch.Tensor]:
    """(K, H, W, D) -> K times (1, H, W, D): softmax, or with regions sigmoid. Beside the logits lies one at a time."""
    total = None if regions else slice_by_slice(lambda part: part.float().logsumexp(0, keepdim=True), logits)
    for channel in logits.split(1):
        yield channel.float().sigmoid() if total is None else (channel.float() - total).exp()


def slice_by_slice(function: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
    """`function` of the logits, whose intermediate results do not lie in memory for the whole volume."""
    return torch.cat([function(part) for part in logits.split(SLICES, -1)], -1)


def on_own_grid(volume: torch.Tensor, image: MetaTensor, transform: Transform) -> MetaTensor:
    """(1, H, W, D) on the grid of `image` -> the grid of its file, by linear interpolation.

    transform: that `image` went through.
    """
    back = Invertd("map", transform, orig_keys="image", nearest_interp=False)  # pyright: ignore[reportArgumentType] - a Compose
    return back({"map": MetaTensor(volume), "image": image})["map"]
