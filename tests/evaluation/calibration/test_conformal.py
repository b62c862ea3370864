"""Intervals hold as many new cases as they say, over many repetitions."""

import math

import numpy as np
import pytest

from scripts.evaluation.calibration.conformal import conformal_radius
from scripts.evaluation.calibration.predicted_dice import fit_dice_prediction
from scripts.evaluation.calibration.volume_interval import fit_volume_interval

REPETITIONS = 300


def test_the_radius_holds_the_next_error_at_least_so_often() -> None:
    random = np.random.default_rng(0)
    held = [random.exponential() <= conformal_radius(random.exponential(size=29), 0.9) for _ in range(4000)]
    assert 0.9 - 0.015 <= np.mean(held) <= 0.9 + 1 / 30 + 0.015


@pytest.mark.parametrize(("coverage", "fewest"), [(0.9, 9), (0.8, 4), (0.5, 1)])
def test_too_few_errors_hold_nothing(coverage: float, fewest: int) -> None:
    assert conformal_radius(np.ones(fewest), coverage) == 1
    assert conformal_radius(np.ones(fewest - 1), coverage) == math.inf


def test_intervals_of_the_dice_hold_nine_of_ten() -> None:
    random = np.random.default_rng(0)
    held = []
    for _ in range(REPETITIONS):
        expected = random.uniform(0.5, 0.9, 50)
        dice = np.clip(0.1 + 0.9 * expected + random.normal(0, 0.05, 50) - random.exponential(0.02, 50), 0, 1)
        prediction = fit_dice_prediction(expected[:40], dice[:40], 0.9)
        low, high = prediction.interval(expected[40:]).T
        held.append(np.mean((low <= dice[40:]) & (dice[40:] <= high)))
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_intervals_of_the_volume_hold_nine_of_ten_also_where_the_expected_one_is_biased() -> None:
    random = np.random.default_rng(0)
    held = []
    for _ in range(REPETITIONS):
        expected = random.uniform(50, 500, 60)
        volume = 0.7 * expected * np.exp(random.standard_t(3, 60) * 0.1)
        low, high = fit_volume_interval(expected[:50], volume[:50], 0.9).interval(expected[50:]).T
        held.append(np.mean((low <= volume[50:]) & (volume[50:] <= high)))
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_a_case_without_the_structure_says_nothing_of_its_volume() -> None:
    expected = np.linspace(50, 100, 20)
    volumes = expected * np.linspace(0.9, 1.1, 20)
    interval = fit_volume_interval(expected, volumes)
    assert fit_volume_interval(np.r_[expected, 3.0], np.r_[volumes, 0.0]) == interval
    assert fit_volume_interval(np.ones(3), np.zeros(3)).interval([7.0]).tolist() == [[0.0, math.inf]]


def test_a_prediction_is_a_dice_and_never_falls_with_the_expected_one() -> None:
    expected = np.linspace(0.6, 0.9, 20)
    falling = fit_dice_prediction(expected, 1 - expected)
    assert falling.slope == 0
    steep = fit_dice_prediction(expected, np.clip(3 * expected - 1.6, 0, 1))
    assert steep.predict([0.0, 1.0]).tolist() == [0, 1]
    assert steep.interval([0.0, 1.0]).min() >= 0
    few = fit_dice_prediction(expected[:5], expected[:5])
    assert (few.radius, few.interval([0.7]).tolist()) == (None, [[0.0, 1.0]])
