"""Logits of several stages and one label map -> a weighted sum of losses."""

from collections.abc import Sequence

import torch
from monai.losses import DeepSupervisionLoss
from torch.nn.modules.loss import _Loss


class DeepSupervision(DeepSupervisionLoss):
    """`sum_i weights[i] * loss(logits[i], label at the size of logits[i])`, finest first.

    MONAI's class, which shrinks the labels by nearest neighbours, with two of its silences ended: integer labels work, and
    a number of stages that differs from the number of weights is an error. A network with a single output
    (no list) is supervised by `loss` alone.

    Args:
        loss: of logits (B, K, ...) and labels (B, 1, ...).
        weights: one for each stage, finest first.

    Raises:
        ValueError: if there are more or fewer stages than weights.

    Example:
        >>> import torch
        >>> from monai.losses import DiceCELoss
        >>> from scripts.losses import DeepSupervision
        >>> loss = DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True), weights=[2 / 3, 1 / 3])
        >>> label = torch.randint(4, (1, 1, 16, 16, 8))
        >>> loss([torch.rand(1, 4, 16, 16, 8), torch.rand(1, 4, 8, 8, 8)], label).shape
        torch.Size([])
    """

    def __init__(self, loss: _Loss, weights: Sequence[float]) -> None:
        super().__init__(loss, weights=list(weights))
        self.stages = len(weights)

    def forward(self, logits: torch.Tensor | Sequence[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        label = label.as_subclass(torch.Tensor).float()  # interpolation has no kernels for most integers
        if isinstance(logits, torch.Tensor):
            return self.loss(logits.float(), label)
        if len(logits) != self.stages:
            raise ValueError(
                f"the network returns {len(logits)} supervised stages but supervision_weights has {self.stages}; "
                "give one weight for each stage, finest first"
            )
        return super().forward(list(logits), label)
