"""Dice of each case -> which few of them to look at."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

EACH = 2  # of the worst, the median and the best


class Example(NamedTuple):
    """rank: from 1, the worst, to `of`."""

    case: str
    dice: float
    rank: int
    of: int

    @property
    def kind(self) -> str:
        """`worst`, `median`, `best`; empty for what lies between, where there are too few cases to leave any out."""
        if self.of <= 1:
            return ""
        if self.rank <= min(EACH, self.of // 2):
            return "worst"
        if self.rank > self.of - min(EACH, self.of // 2):
            return "best"
        return "median"


def choose_examples(dice: Mapping[str, float]) -> Sequence[Example]:
    """Up to two of the worst, the median and the best cases each, the worst first; of up to six cases all.

    Example:
        >>> from scripts.evaluation.examples import choose_examples
        >>> [(example.case, example.kind) for example in choose_examples({"a": 0.9, "b": 0.4, "c": 0.8})]
        [('b', 'worst'), ('c', 'median'), ('a', 'best')]
    """
    order = sorted(dice, key=lambda case: dice[case])
    ranked = [Example(case, dice[case], rank, len(order)) for rank, case in enumerate(order, 1)]
    middle = len(ranked) // 2
    return ranked if len(ranked) <= 3 * EACH else ranked[:EACH] + ranked[middle - 1 : middle + 1] + ranked[-EACH:]
