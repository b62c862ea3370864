"""Logits -> the class of each voxel, or an error if they are no numbers."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.transforms import AsDiscreted

from ..cases.case_error import CaseError
from ..cases.read_case import read_from


class LogitsToClassesd(AsDiscreted):
    """`pred` (K, H, W, D) of logits -> (1, H, W, D) of class numbers.

    Args:
        checkpoint: whose network the logits are of; None of one that is being trained.

    Raises:
        CaseError: where logits are NaN or infinite, of which argmax would make a mask, and a score, like any other.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import LogitsToClassesd
        >>> logits = torch.tensor([[[[0.1, 0.7]]], [[[0.9, 0.3]]]])
        >>> LogitsToClassesd("model.pt")({"image": MetaTensor(logits[:1]), "pred": logits})["pred"].tolist()
        [[[[1.0, 0.0]]]]
    """

    def __init__(self, checkpoint: str | Path | None = None) -> None:
        super().__init__("pred", argmax=True)
        self.checkpoint = checkpoint

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        finite = torch.isfinite(data["pred"]).all(0)
        if not finite.all():
            rule = "the network's output must be finite"
            share = f"{int((~finite).sum())} of {finite.numel()} voxels"
            found = f"with {self.checkpoint or 'the weights of this epoch'} it is NaN or infinite in {share}"
            raise CaseError(
                read_from(data["image"]), rule, found, "train again with a lower learning_rate, or set amp to false"
            )
        return super().__call__(data)
