"""Measurements at several sizes -> the power by which they grow, and the size at which one overtakes another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Growth:
    """`value = factor * size ** exponent`, fitted from `first` to `last`; `low` to `high`: 95 % confidence of the exponent."""

    exponent: float
    low: float
    high: float
    factor: float
    first: float
    last: float
    points: int

    def at(self, size: float) -> float:
        return self.factor * size**self.exponent

    def __str__(self) -> str:
        return f"{self.exponent:.2f} ({self.low:.2f} to {self.high:.2f})"


def fit_growth(sizes: Sequence[float], values: Sequence[float]) -> Growth:
    """Least squares on logarithms; the interval is that of a slope whose residuals are normal (Student's t)."""
    if len(set(sizes)) < 3:
        raise ValueError(f"an exponent and its spread need three sizes or more, got {sorted(set(sizes))}; measure more")
    (exponent, intercept), covariance = np.polyfit(np.log(sizes), np.log(values), 1, cov=True)
    spread = stats.t.ppf((1 + CONFIDENCE) / 2, len(sizes) - 2) * math.sqrt(covariance[0, 0])
    low, high = float(exponent - spread), float(exponent + spread)
    return Growth(float(exponent), low, high, math.exp(intercept), min(sizes), max(sizes), len(sizes))


def crossing(sizes: Sequence[float], values: Sequence[float], others: Sequence[float]) -> float | None:
    """The size from which `values` lie above `others` for good, interpolated on logarithms; None: not above at the last size.

    The first size where they do so from the start. Sizes rise.
    """
    ahead = [math.log(value / other) for value, other in zip(values, others, strict=True)]
    if ahead[-1] <= 0:
        return None
    below = [index for index, difference in enumerate(ahead) if difference <= 0]
    if not below:
        return sizes[0]
    left, right = below[-1], below[-1] + 1
    share = -ahead[left] / (ahead[right] - ahead[left])
    return math.exp((1 - share) * math.log(sizes[left]) + share * math.log(sizes[right]))
