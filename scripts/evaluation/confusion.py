"""Masks and references, case after case -> how many voxels of each structure the masks call what."""

from collections.abc import Collection, Mapping

import torch


class Confusion:
    """Counts voxels of each reference label that the mask gives each label, over all cases.

    Args:
        labels: label value -> name, first the background, which is 0. Other values count as background.

    Example:
        >>> import torch
        >>> from scripts.evaluation import Confusion
        >>> reference = torch.tensor([0, 0, 1, 1, 2])
        >>> confusion = Confusion({0: "background", 1: "liver", 2: "kidney"})
        >>> confusion.add(torch.tensor([0, 1, 1, 2, 2]), reference, torch.ones(5, dtype=torch.bool))
        >>> confusion.table()["liver"]
        {'background': 0, 'liver': 1, 'kidney': 1}
    """

    def __init__(self, labels: Mapping[int, str]) -> None:
        self.labels = dict(labels)
        self.counts = torch.zeros(len(self.labels), len(self.labels), dtype=torch.int64)

    def add(
        self, mask: torch.Tensor, reference: torch.Tensor, counted: torch.Tensor, not_annotated: Collection[str] = ()
    ) -> None:
        """Counts one case.

        Args:
            mask: label values.
            reference: label values, of the same shape.
            counted: True at the voxels that count.
            not_annotated: names of the structures that nobody annotated in this reference. If there are any, its background may
                hold them, and voxels that are background there are not counted.
        """
        shown = counted & ((mask != 0) | (reference != 0))  # few of a volume's voxels
        of_mask, of_reference = self._numbers(mask[shown]), self._numbers(reference[shown])
        size = len(self.labels)
        counts = torch.bincount(of_reference * size + of_mask, minlength=size**2).reshape(size, size).cpu()
        counts[0, 0] += int(counted.sum()) - len(of_mask)
        if not_annotated:
            counts[0] = 0
        self.counts += counts

    def add_table(self, table: Mapping[str, Mapping[str, int]]) -> None:
        """Counts what another one of these labels has counted.

        Args:
            table: as `table` gives it.
        """
        names = list(self.labels.values())
        self.counts += torch.tensor([[table[name][other] for other in names] for name in names])

    def _numbers(self, values: torch.Tensor) -> torch.Tensor:
        """Label values -> their places among the labels."""
        numbers = torch.zeros_like(values, dtype=torch.int64)
        for number, value in enumerate(self.labels):
            numbers[values == value] = number
        return numbers

    def table(self) -> dict[str, dict[str, int]]:
        """Name in the reference -> name in the mask -> voxels."""
        names = list(self.labels.values())
        return {name: dict(zip(names, row, strict=True)) for name, row in zip(names, self.counts.tolist(), strict=True)}
