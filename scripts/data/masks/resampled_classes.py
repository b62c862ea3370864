"""Logits -> the class of each voxel of the image's own grid, decided there."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from monai.transforms import Transform

from ...basics.regions import Regions, written_classes
from . import probability_maps
from .logits_to_classes import require_finite
from .probability_maps import on_own_grid, probabilities


class ResampledClassesd(Transform):
    """`pred` (K, H, W, D) of logits -> (1, H', W', D') of class numbers, on the grid of the file that `image` was read from.

    In place of `LogitsToClassesd` and a nearest-neighbour inversion: probabilities are resampled linearly, then the likeliest
    class is taken; a voxel lies in a region from a probability of 0.5 on. One class is resampled at a time.

    Args:
        transform: that `image` went through.
        checkpoint: as of `LogitsToClassesd`.
        labels: as of `LogitsToClassesd`.
        regions: as of `LogitsToClassesd`.
        region_values: as of `LogitsToClassesd`.

    Raises:
        ValueError: as `LogitsToClassesd` does.
        CaseError: as `LogitsToClassesd` does.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from monai.transforms import Compose
        >>> from scripts.data import ResampledClassesd, ResizeInPlaned
        >>> preprocessing = Compose([ResizeInPlaned("image", spatial_size=(4, 4))])
        >>> image = preprocessing({"image": MetaTensor(torch.rand(1, 16, 16, 2))})["image"]
        >>> tuple(ResampledClassesd(preprocessing)({"image": image, "pred": torch.rand(3, 4, 4, 2)})["pred"].shape)
        (1, 16, 16, 2)
    """

    def __init__(
        self,
        transform: probability_maps.Transform,
        checkpoint: str | Path | Sequence[str] | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
        regions: Regions = MappingProxyType({}),
        region_values: Sequence[int] = (),
    ) -> None:
        self.transform = transform
        self.checkpoint = checkpoint
        self.written = written_classes(labels, regions, region_values)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        require_finite(data, self.checkpoint)
        numbers = self.written or range(len(data["pred"]))
        best, classes = torch.empty(0), None
        for number, volume in zip(numbers, probabilities(data["pred"], bool(self.written)), strict=True):
            here = on_own_grid(volume, data["image"], self.transform)
            if classes is None:
                best, classes = here.as_tensor().clone(), torch.zeros_like(here, dtype=torch.int16)
            if self.written:
                classes.masked_fill_(here >= 0.5, number)
            else:
                classes.masked_fill_(here > best, number)
                torch.maximum(best, here.as_tensor(), out=best)
            del here  # before the next one is there too
        return {**data, "pred": classes}
