"""A measure of every case and class -> the 95 % interval of its mean, from drawing the cases again and again."""

import warnings

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

LEVEL, RESAMPLES, SEED = 0.95, 10_000, 0
FEWEST_CASES = 3
BATCH = 250  # resamples at a time: 100 MB for 500 cases of 100 classes
METHOD = f"BCa bootstrap over the cases, {LEVEL:.0%}, {RESAMPLES} resamples, seed {SEED}"


def case_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Of the mean over classes of each class's mean over the cases that have it: which means other cases might have given.

    It is the bias-corrected and accelerated bootstrap (BCa; Efron, Better bootstrap confidence intervals, JASA 82, 1987, as
    `scipy.stats.bootstrap` computes it), which, unlike percentiles, allows for the skew of measures with a best value. The
    random numbers are seeded: the same values have the same interval.

    Args:
        values: (cases, classes), NaN where a case has no value.

    Returns:
        the lower and the upper bound; None for fewer than 3 cases with a value, and where the means have no spread.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation import case_interval
        >>> low, high = case_interval(np.array([[0.90], [0.92], [0.88], [0.91], [0.70]]))
        >>> low < 0.862 < high
        True
        >>> case_interval(np.array([[0.9], [0.9], [0.9]])) is None
        True
    """
    values = values[~np.isnan(values).all(axis=1)]
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    columns = [column[known] for column, known in zip(values.T, there.T, strict=True)]
    if len(values) < FEWEST_CASES or all(column.size == 0 or np.ptp(column) == 0 for column in columns):
        return None

    def mean(cases: np.ndarray, axis: int) -> np.ndarray:
        """(..., cases) -> (...)"""
        counted = there[cases].sum(-2)  # (..., classes)
        with np.errstate(invalid="ignore"):
            return np.nansum(filled[cases].sum(-2) / counted, -1) / (counted > 0).sum(-1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # it then gives NaN
        low, high = bootstrap(
            (np.arange(len(values)),),
            mean,
            n_resamples=RESAMPLES,
            batch=BATCH,
            vectorized=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return (float(low), float(high)) if low < high else None
