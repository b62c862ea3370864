"""Logits and labels -> cross-entropy + 1 - Dice, with weights of the classes, voxels that do not count, and label sets."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import monai.losses
import torch
from torch.nn import functional as F

from .label_sets import mean_of_known, merge_hidden


class DiceCELoss(monai.losses.DiceCELoss):
    """MONAI's `DiceCELoss` of softmax and squared denominators, for which three things are new. Without them it is the same.

    MONAI's ignores no voxels, and its weights multiply Dice without dividing by their sum, as the cross-entropy does: ten
    times the weights would be ten times the Dice beside the same cross-entropy. Here both are weighted means. In a case of
    which only some classes are annotated, the others and the background are one class with the background's weight: the
    marginal loss (`merge_hidden`). The Dice of those others is left out of that case's mean.

    Args:
        include_background: whether the background's Dice counts.
        lambda_dice: weight of Dice.
        lambda_ce: weight of cross-entropy.
        weight: of each class, background first; None: all alike.
        ignore_index: class of the voxels that do not count, beyond those of the logits. Where none counts the loss is 0.
        label_sets: number -> classes that may hide in the background of a case whose label has -1 - number there.

    Example:
        >>> import torch
        >>> from scripts.losses import DiceCELoss
        >>> label = torch.randint(4, (1, 1, 8, 8, 8))
        >>> sure = 50 * torch.nn.functional.one_hot(label[:, 0], 4).movedim(-1, 1).float()
        >>> wrong = sure.roll(1, dims=1)[..., :4]  # where nobody labelled
        >>> label[..., :4] = 4
        >>> round(DiceCELoss(ignore_index=4)(torch.cat([wrong, sure[..., 4:]], -1), label).item(), 4)
        0.0
    """

    def __init__(
        self,
        include_background: bool = True,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        weight: Sequence[float] | None = None,
        ignore_index: int | None = None,
        label_sets: Mapping[int, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        super().__init__(
            include_background,
            to_onehot_y=True,
            softmax=True,
            squared_pred=True,
            lambda_dice=lambda_dice,
            lambda_ce=lambda_ce,
        )
        self.weight = weight
        self.dice.ignore_index = self.ignore_index = ignore_index
        if weight is not None:
            of_dice = torch.tensor(weight if include_background else weight[1:], dtype=torch.float64)
            self.dice.class_weight = of_dice / of_dice.mean()
        self.label_sets = label_sets
        if label_sets:
            self.dice.reduction = "none"

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """
        Args:
            input: (B, K, ...) logits.
            target: (B, 1, ...) class numbers.
        """
        if not self.label_sets:
            return super().forward(input, target)
        logits, label, hidden = merge_hidden(input, target, self.label_sets)
        known = ~hidden if self.dice.include_background else ~hidden[:, 1:]
        dice = mean_of_known(self.dice(logits, label).flatten(1), known, self.dice.class_weight)
        return self.lambda_dice * dice + self.lambda_ce * self.ce(logits, label)

    def ce(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return cross_entropy(input, target, self.weight, self.ignore_index)


def cross_entropy(
    logits: torch.Tensor, label: torch.Tensor, weight: Sequence[float] | None, ignore_index: int | None
) -> torch.Tensor:
    """(B, K, ...) and (B, 1, ...) -> the mean over voxels that count, weighted by class; 0, not torch's NaN, if none does."""
    target = label.squeeze(1).long()
    if weight is None and ignore_index is None:
        return F.cross_entropy(logits, target)
    of_class = logits.new_ones(logits.shape[1]) if weight is None else logits.new_tensor(weight)
    counted = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    target = target.where(counted, 0)
    of_voxel = of_class[target] * counted
    losses = F.cross_entropy(logits, target, reduction="none") * of_voxel
    return losses.sum() / of_voxel.sum().clamp(min=torch.finfo(logits.dtype).tiny)
