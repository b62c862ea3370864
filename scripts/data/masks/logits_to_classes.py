"""Logits -> the class of each voxel, or an error if they are no numbers."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from monai.transforms import AsDiscreted

from ...basics.regions import Regions, written_classes
from ...files.checkpoint_file import checkpoints_of
from ..cases.case_error import CaseError
from ..cases.read_case import read_from


class LogitsToClassesd(AsDiscreted):
    """`pred` (K, H, W, D) of logits -> (1, H, W, D) of class numbers: the likeliest class.

    With regions a voxel lies in each whose logit is at least 0 (a probability of 0.5). It begins as background, and each of its
    regions in turn overwrites it, see `basics.regions`.

    Args:
        checkpoint: whose network the logits are of, or those of an ensemble; None of one that is being trained.
        labels: the preset's, value -> name; needed for regions.
        regions: the preset's, name -> label values, in the order of the logits.
        region_values: the label value that each of them writes.

    Raises:
        ValueError: for regions of which a mask would not be what was labelled.
        CaseError: where logits are NaN or infinite, of which argmax would make a mask, and a score, like any other.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import LogitsToClassesd
        >>> logits = torch.tensor([[[[0.1, 0.7]]], [[[0.9, 0.3]]]])
        >>> LogitsToClassesd("model.pt")({"image": MetaTensor(logits[:1]), "pred": logits})["pred"].tolist()
        [[[[1.0, 0.0]]]]
    """

    def __init__(
        self,
        checkpoint: str | Path | Sequence[str] | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
        regions: Regions = MappingProxyType({}),
        region_values: Sequence[int] = (),
    ) -> None:
        super().__init__("pred", argmax=True)
        self.checkpoint = checkpoint
        self.written = written_classes(labels, regions, region_values)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        require_finite(data, self.checkpoint)
        return {**data, "pred": self._overwritten(data["pred"])} if self.written else super().__call__(data)

    def _overwritten(self, logits: torch.Tensor) -> torch.Tensor:
        classes = torch.zeros_like(logits[:1], dtype=torch.float32)
        for of_region, number in zip(logits.split(1), self.written, strict=True):
            classes = classes.masked_fill(of_region >= 0, number)
        return classes


def require_finite(data: Mapping[Hashable, Any], checkpoint: str | Path | Sequence[str] | None) -> None:
    """Raises CaseError unless the logits `pred` are numbers."""
    finite = torch.isfinite(data["pred"]).all(0)
    if not finite.all():
        rule = "the network's output must be finite"
        share = f"{int((~finite).sum())} of {finite.numel()} voxels"
        weights = ", ".join(map(str, checkpoints_of(checkpoint))) if checkpoint else "the weights of this epoch"
        found = f"with {weights} it is NaN or infinite in {share}"
        raise CaseError(read_from(data["image"]), rule, found, "train again with a lower learning_rate, or set amp to false")
