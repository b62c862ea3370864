"""Probabilities of a structure -> how often it was there where they were like this: what a temperature leaves over."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import logit

EDGES = np.arange(-8.0, 9.0)  # of bins, in logits: fine where probabilities are small, as those of most voxels
DIGITS = 6


@dataclass(frozen=True)
class Recalibration:
    """A rising line through knots (isotonic regression: Zadrozny and Elkan, "Transforming classifier scores", 2002).

    One temperature serves the borders of structures and the air around them alike. There, a probability that is 0.01 too high
    adds up to more than the structure.
    """

    probabilities: Sequence[float]
    shares: Sequence[float]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        return np.interp(probabilities, self.probabilities, self.shares)


def fit_recalibration(probabilities: np.ndarray, references: np.ndarray, weights: np.ndarray) -> Recalibration:
    """One structure's, of N voxels.

    Args:
        probabilities: (N,).
        references: (N,), whether the structure is there.
        weights: (N,).

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.recalibration import fit_recalibration
        >>> probabilities = np.repeat([0.1, 0.6], 10)
        >>> references = np.r_[np.arange(10) < 2, np.arange(10) < 9]  # 2 and 9 of 10
        >>> fit_recalibration(probabilities, references, np.ones(20))(np.array([0.1, 0.35, 0.6])).round(2).tolist()
        [0.2, 0.55, 0.9]
    """
    bins = np.searchsorted(EDGES, logit(np.clip(probabilities, 1e-12, 1 - 1e-12)))
    totals = np.bincount(bins, weights, len(EDGES) + 1)
    there = totals > 0
    means, shares = (
        np.bincount(bins, weights * values, len(EDGES) + 1)[there] / totals[there] for values in (probabilities, references)
    )
    rising = isotonic_regression(shares, weights=totals[there]).x
    return Recalibration(*([round(float(value), DIGITS) for value in values] for values in (means, rising)))
