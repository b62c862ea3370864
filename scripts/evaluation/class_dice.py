"""Masks and references -> Dice of each class, by one rule in training's validation and in evaluation."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from monai.metrics import CumulativeIterationMetric


def class_dice(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W, D), each voxel in a class or not -> (B, C): 0 where one side alone has the class, NaN where neither has it.

    MONAI's DiceMetric counts false positives of an absent class either not at all, or its absence as 1.
    """
    found, expected = (side.bool().flatten(2) for side in (y_pred, y))
    return 2 * (found & expected).sum(-1) / (found.sum(-1) + expected.sum(-1))


class ClassDice(CumulativeIterationMetric):
    """Dice of structures over cases, for class numbers `y_pred` and `y` (B, 1, H, W, D).

    Args:
        structures: name -> the classes that make it up.
        prefix: of the names by which `aggregate` then gives the mean over cases, NaN for a structure that no case has. None: it
            gives the mean of the other means, 0 if there is none.
        ignore_index: class in `y` of the voxels to be ignored, which count on neither side.
        label_sets: number -> classes that nobody annotated in a case whose `y` has -1 - number in place of the background. A
            structure of which these are a part does not count in that case.

    Example:
        >>> import torch
        >>> from scripts.evaluation import ClassDice
        >>> mask, reference = torch.zeros(2, 1, 1, 4, 4, 4)
        >>> mask[:, :, :2], reference[:, :, 1:3] = 1, 1
        >>> mask[:, :, 3:] = 2
        >>> metric = ClassDice({"liver": [1], "kidney": [2]}, prefix="")
        >>> _ = metric(mask, reference)
        >>> metric.aggregate()
        {'liver': 0.5, 'kidney': 0.0}
    """

    def __init__(
        self,
        structures: Mapping[str, Sequence[int]],
        prefix: str | None = None,
        ignore_index: int | None = None,
        label_sets: Mapping[int, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.structures = structures
        self.prefix = prefix
        self.ignore_index = ignore_index
        self.label_sets = label_sets

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found, expected = self._masks(y_pred), self._masks(y)
        if self.ignore_index is not None:
            found = found & (y != self.ignore_index)
        dice = class_dice(found, expected)
        for of_case, label in zip(dice, y, strict=True):
            hidden = {*self.label_sets.get(-1 - int(label.min()), ())}
            of_case[[not hidden.isdisjoint(classes) for classes in self.structures.values()]] = torch.nan
        return dice

    def _masks(self, volume: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W, D) -> (B, C, H, W, D)"""
        of_each = [torch.isin(volume, torch.tensor(classes).to(volume)) for classes in self.structures.values()]
        return torch.cat(of_each, 1)

    def aggregate(self) -> float | dict[str, float]:
        buffer = self.get_buffer()
        assert isinstance(buffer, torch.Tensor)
        means = buffer.cpu().double().nanmean(0)
        if self.prefix is None:
            return means.nanmean().nan_to_num().item()
        return {f"{self.prefix}{name}": mean for name, mean in zip(self.structures, means.tolist(), strict=True)}
