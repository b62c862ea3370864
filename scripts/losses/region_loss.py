"""Logits of regions that may overlap, and class numbers -> binary cross-entropy + 1 - Dice."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from monai.losses import DiceLoss
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from .label_sets import hidden_classes, mean_of_known


class RegionLoss(_Loss):
    """MONAI's `DiceLoss(sigmoid, squared_pred)` and torch's `BCEWithLogitsLoss` of regions, each a sigmoid of its own.

    Both are weighted means over regions. In a case of which only some classes are annotated a region counts if none of the
    others is a part of it.

    Args:
        regions: name -> the classes that make it up, in the order of the logits.
        lambda_dice: weight of Dice.
        lambda_ce: weight of the binary cross-entropy.
        weight: of each region; None: all alike.
        ignore_index: class of the voxels that do not count. Where none counts the loss is 0.
        label_sets: see `DiceCELoss`.

    Example:
        >>> import torch
        >>> from scripts.losses import RegionLoss
        >>> label = torch.randint(3, (1, 1, 8, 8, 8))
        >>> sure = 50 * torch.cat([label > 0, label == 2], 1).float() - 25
        >>> round(RegionLoss({"whole tumour": [1, 2], "core": [2]})(sure, label).item(), 4)
        0.0
    """

    def __init__(
        self,
        regions: Mapping[str, Sequence[int]],
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        weight: Sequence[float] | None = None,
        ignore_index: int | None = None,
        label_sets: Mapping[int, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.regions = [list(classes) for classes in regions.values()]
        self.lambda_dice = lambda_dice
        self.lambda_ce = lambda_ce
        self.weight = [1.0] * len(regions) if weight is None else weight
        self.ignore_index = ignore_index
        self.label_sets = label_sets
        self.dice = DiceLoss(squared_pred=True, reduction="none")

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """
        Args:
            logits: (B, R, ...).
            label: (B, 1, ...) class numbers.
        """
        logits = logits.to(
            torch.promote_types(logits.dtype, torch.float32)
        )  # a sigmoid stays in half precision, unlike softmax
        truth = torch.cat([torch.isin(label, torch.tensor(classes).to(label)) for classes in self.regions], 1).to(logits)
        counted = torch.ones_like(label) if self.ignore_index is None else (label != self.ignore_index).to(logits)
        known, weight = self._known(label), logits.new_tensor(self.weight)
        dice = self.dice(logits.sigmoid() * counted, truth * counted).flatten(1)  # (B, R)
        of_region = (known * weight).view(*known.shape, *[1] * (logits.dim() - 2))
        of_voxel = (of_region * counted).expand_as(logits)
        cross = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * of_voxel
        mean = cross.sum() / of_voxel.sum().clamp(min=torch.finfo(logits.dtype).tiny)
        return self.lambda_dice * mean_of_known(dice * weight, known, weight) + self.lambda_ce * mean

    def _known(self, label: torch.Tensor) -> torch.Tensor:
        """(B, R): whether no hidden class is a part of the region."""
        classes = 1 + max(number for some in [*self.regions, *self.label_sets.values()] for number in some)
        hidden = hidden_classes(label, self.label_sets, classes)
        return torch.stack([~hidden[:, members].any(1) for members in self.regions], 1)
