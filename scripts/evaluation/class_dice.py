"""Masks and references -> Dice of each class, by one rule in training's validation and in evaluation."""

from collections.abc import Sequence

import torch
from monai.metrics import CumulativeIterationMetric


def class_dice(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W, D), each voxel in a class or not -> (B, C): 0 where one side alone has the class, NaN where neither has it.

    MONAI's DiceMetric counts false positives of an absent class either not at all, or its absence as 1.
    """
    found, expected = (side.bool().flatten(2) for side in (y_pred, y))
    return 2 * (found & expected).sum(-1) / (found.sum(-1) + expected.sum(-1))


class ClassDice(CumulativeIterationMetric):
    """Dice of the foreground classes over cases, for one-hot `y_pred` and `y` (B, C, H, W, D) of which channel 0 is background.

    Args:
        names: of the foreground classes; `aggregate` then gives the mean over cases by name, NaN for a class that no case has.
            Without names it gives the mean of the other means, 0 if there is none.
        ignore_index: the channel of `y` that holds the voxels to be ignored, behind all classes; they count on neither side.

    Example:
        >>> import torch
        >>> from scripts.evaluation import ClassDice
        >>> mask, reference = torch.zeros(2, 1, 3, 4, 4, 4)
        >>> mask[:, 1, :2], reference[:, 1, 1:3] = 1, 1
        >>> mask[:, 2, 3:] = 1
        >>> metric = ClassDice(["liver", "kidney"])
        >>> _ = metric(mask, reference)
        >>> metric.aggregate()
        {'liver': 0.5, 'kidney': 0.0}
    """

    def __init__(self, names: Sequence[str] | None = None, ignore_index: int | None = None) -> None:
        super().__init__()
        self.names = names
        self.ignore_index = ignore_index

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found, expected = y_pred[:, 1 : self.ignore_index], y[:, 1 : self.ignore_index]
        if self.ignore_index is not None:
            found = found * (1 - y[:, self.ignore_index, None])
        return class_dice(found, expected)

    def aggregate(self) -> float | dict[str, float]:
        buffer = self.get_buffer()
        assert isinstance(buffer, torch.Tensor)
        means = buffer.cpu().double().nanmean(0)
        if self.names is None:
            return means.nanmean().nan_to_num().item()
        return dict(zip(self.names, means.tolist(), strict=True))
