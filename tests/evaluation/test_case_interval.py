"""Intervals against BCa by hand, how often they hold the truth, and where there is none."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from scripts.evaluation import case_interval

NAN = math.nan


def mean_of(values: np.ndarray) -> float:
    """Over classes, of the means over the cases that have them."""
    columns = [column[~np.isnan(column)] for column in values.T]
    return float(np.mean([column.mean() for column in columns if column.size]))


def bca(values: np.ndarray, resamples: int) -> tuple[float, float]:
    """Efron and Tibshirani, An Introduction to the Bootstrap, equations 14.9 to 14.15, one resample after the other."""
    generator, normal = np.random.default_rng(7), NormalDist()
    n = len(values)
    drawn = np.array([mean_of(values[generator.integers(n, size=n)]) for _ in range(resamples)])
    bias = normal.inv_cdf(float((drawn < mean_of(values)).mean()))
    left_out = np.array([mean_of(np.delete(values, i, axis=0)) for i in range(n)])
    deviations = left_out.mean() - left_out
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    ends = (bias + normal.inv_cdf(tail) for tail in (0.025, 0.975))
    levels = [normal.cdf(bias + end / (1 - acceleration * end)) for end in ends]
    low, high = np.quantile(drawn, levels)
    return float(low), float(high)


def skewed(seed: int, cases: int, classes: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).beta(8, 1, size=(cases, classes))


@pytest.mark.parametrize(("classes", "missing"), [(1, 0.0), (3, 0.3)])
def test_intervals_are_those_of_bca_by_hand(classes: int, missing: float) -> None:
    values = skewed(1, 25, classes)
    values[np.random.default_rng(2).random(values.shape) < missing] = NAN
    interval = case_interval(values)
    assert interval == pytest.approx(bca(values, 6000), abs=0.003)
    assert interval[1] - interval[0] > 0.03  # much wider than the tolerance


def test_about_95_of_100_intervals_hold_the_mean_of_all_cases_there_could_be() -> None:
    intervals = [case_interval(skewed(seed, 40)) for seed in range(100)]
    assert 0.88 <= np.mean([low <= 8 / 9 <= high for low, high in intervals]) <= 0.99


def test_cases_without_a_value_change_nothing_and_the_same_values_give_the_same_interval() -> None:
    values = skewed(4, 12, 2)
    once = case_interval(values)
    assert case_interval(values.copy()) == once
    assert case_interval(np.vstack([values, np.full((3, 2), NAN)])) == once
    assert case_interval(np.hstack([values, np.full((12, 1), NAN)])) == once
    assert case_interval(10 * values) == pytest.approx([10 * bound for bound in once], rel=1e-4)  # rounding moves ties


@pytest.mark.parametrize(
    "values",
    [[[0.1], [0.9]], [[0.1], [NAN], [0.9], [NAN]], [[0.7]] * 20, [[NAN]] * 5, [[0.5, 0.5]] * 3 + [[0.5, NAN]]],
    ids=["two cases", "two with a value", "no spread", "nothing", "no spread in any class"],
)
def test_few_cases_and_equal_ones_have_no_interval(values: list[list[float]]) -> None:
    assert case_interval(np.array(values)) is None
    assert case_interval(np.zeros((0, 2))) is None
