"""Intervals over cases: what is resampled, how often they hold the truth, and what pairing gains."""

import math
from pathlib import Path

import numpy as np
import pytest

from scripts.research.comparison.compare_cases import CaseValues, difference_interval, mean_interval, read_case_values

NAN = math.nan


def test_the_mean_is_that_over_classes_of_the_means_over_the_cases_that_have_them() -> None:
    values = np.array([[0.8, NAN, NAN], [0.6, 0.3, NAN], [0.7, 0.5, NAN]])  # the last class is nowhere
    assert mean_interval(values).value == pytest.approx((0.7 + 0.4) / 2)


def test_intervals_are_those_of_drawing_cases_with_replacement_one_resample_after_the_other() -> None:
    generator = np.random.default_rng(1)
    values = generator.beta(8, 2, size=(25, 2))
    values[generator.random((25, 2)) < 0.3] = NAN
    means = []
    for _ in range(20_000):
        drawn = values[generator.integers(25, size=25)]
        means.append(np.mean([np.mean(column[~np.isnan(column)]) for column in drawn.T]))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.003)


def test_95_of_100_intervals_hold_the_mean_of_all_cases_there_could_be() -> None:
    generator = np.random.default_rng(2)
    intervals = [mean_interval(generator.normal(0.8, 0.1, size=(40, 1))) for _ in range(300)]
    assert 0.90 <= np.mean([interval.low <= 0.8 <= interval.high for interval in intervals]) <= 0.98


def test_differences_are_paired_what_cases_have_in_common_cancels() -> None:
    reference = np.random.default_rng(3).random((20, 2))
    assert mean_interval(reference).high - mean_interval(reference).low > 0.1
    interval = difference_interval(reference + 0.05, reference)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.05, 0.05, 0.05))


def test_the_same_cases_give_the_same_interval_every_time_and_in_every_unit() -> None:
    values = np.random.default_rng(4).random((12, 3))
    once, again, tenfold = mean_interval(values), mean_interval(values.copy()), mean_interval(10 * values)
    assert once == again
    assert (tenfold.low, tenfold.high) == pytest.approx((10 * once.low, 10 * once.high))


def test_a_measure_that_is_missing_everywhere_is_missing_not_zero() -> None:
    interval = mean_interval(np.full((4, 2), NAN))
    assert all(math.isnan(number) for number in (interval.value, interval.low, interval.high))


def test_a_class_of_one_case_does_not_turn_resamples_without_it_into_zeros() -> None:
    values = np.array([[0.5, 0.5], [0.5, NAN], [0.5, NAN], [0.5, NAN]])
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx((0.5, 0.5))


def test_the_table_of_cases_is_read_by_name_blank_cells_as_missing(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("case,class,dice,nsd\nb,liver,0.5,\nb,kidney,,0.2\na,liver,1,1\na,kidney,0.25,0\n")
    found = read_case_values(tmp_path / "metrics.csv", "dice")
    assert isinstance(found, CaseValues)
    assert (found.cases, found.classes) == (("a", "b"), ("liver", "kidney"))
    np.testing.assert_array_equal(found.values, [[1.0, 0.25], [0.5, NAN]])
