"""The Dice that is told of a mask -> the Dice to predict, and an interval that holds the true one."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .conformal import COVERAGE, conformal_radius
from .cross_fit import cross_fit, parts_of

FEWEST_CASES = 3  # of different expected Dice, below which there is no line
DIGITS = 6


@dataclass(frozen=True)
class DicePrediction:
    """A line from the expected Dice to the true one, and how far cases lie beside it; None: nobody knows how far."""

    slope: float
    intercept: float
    radius: float | None

    def predict(self, expected: ArrayLike) -> np.ndarray:
        """(n,) -> (n,), from 0 to 1."""
        return np.clip(self.intercept + self.slope * np.asarray(expected, float), 0, 1)

    def interval(self, expected: ArrayLike) -> np.ndarray:
        """(n,) -> (n, 2), within 0 to 1."""
        radius = math.inf if self.radius is None else self.radius
        predicted = self.predict(expected)
        return np.clip(np.stack([predicted - radius, predicted + radius], -1), 0, 1)

    def as_dict(self) -> dict[str, Any]:
        return {key: value if value is None else round(value, DIGITS) for key, value in asdict(self).items()}


def fit_dice_prediction(expected: np.ndarray, dice: np.ndarray, coverage: float = COVERAGE) -> DicePrediction:
    """Least squares, of a slope that is not negative; the radius is conformal, of errors on cases that were held out.

    Args:
        expected: (n,), of the masks of cases.
        dice: (n,), true.
        coverage: the share of new cases that the interval is to hold.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.predicted_dice import fit_dice_prediction
        >>> expected = np.linspace(0.7, 0.95, 20)
        >>> prediction = fit_dice_prediction(expected, 1.2 * expected - 0.2)
        >>> prediction.predict([0.9]).round(3).tolist(), round(prediction.radius, 3)
        ([0.88], 0.0)
    """
    line = _line(expected, dice)
    parts = parts_of([str(number) for number in range(len(dice))])
    if len(np.unique(parts)) < 2:
        return line
    held_out = cross_fit(
        parts,
        lambda known: _line(expected[known], dice[known]),
        lambda fitted, part: np.abs(fitted.predict(expected[part]) - dice[part]),
    )
    radius = conformal_radius(held_out, coverage)
    return DicePrediction(line.slope, line.intercept, radius if math.isfinite(radius) else None)


def _line(expected: np.ndarray, dice: np.ndarray) -> DicePrediction:
    if len(dice) == 0:
        return DicePrediction(1.0, 0.0, None)
    if len(np.unique(expected)) < FEWEST_CASES:
        return DicePrediction(0.0, float(np.mean(dice)), None)
    slope = max(float(np.polyfit(expected, dice, 1)[0]), 0.0)
    return DicePrediction(slope, float(np.mean(dice) - slope * np.mean(expected)), None)
