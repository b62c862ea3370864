"""The expected Dice of a mask is the mean Dice with references that are drawn by the probabilities."""

import numpy as np
import pytest

from scripts.evaluation.calibration.expected_dice import expected_dice, expected_voxels, mean_confidence


@pytest.fixture
def chances() -> np.ndarray:
    """(4000, 2)"""
    return np.random.default_rng(0).beta(0.3, [0.7, 2.0], (4000, 2))


def test_it_is_the_mean_over_drawn_references(chances: np.ndarray) -> None:
    random, mask = np.random.default_rng(1), chances > 0.5
    drawn = [random.random(chances.shape) < chances for _ in range(400)]
    dice = [2 * (one & mask).sum(0) / (one.sum(0) + mask.sum(0)) for one in drawn]
    assert expected_dice(chances, mask, np.ones(4000)) == pytest.approx(np.mean(dice, 0), abs=0.003)
    assert expected_voxels(chances, np.ones(4000)) == pytest.approx(np.mean([one.sum(0) for one in drawn], 0), rel=0.01)
    confidence = np.mean([(one & mask).sum(0) / mask.sum(0) for one in drawn], 0)
    assert mean_confidence(chances, mask, np.ones(4000)) == pytest.approx(confidence, abs=0.006)


def test_a_voxel_of_weight_three_is_three_voxels(chances: np.ndarray) -> None:
    weights = np.random.default_rng(2).integers(1, 4, 4000)
    mask = chances > 0.3
    for measure in (expected_dice, mean_confidence):
        whole = measure(chances.repeat(weights, 0), mask.repeat(weights, 0), np.ones(weights.sum()))
        assert measure(chances, mask, weights) == pytest.approx(whole)


def test_a_mask_without_what_is_unlikely_is_expected_to_be_better(chances: np.ndarray) -> None:
    sure, all_of_it = chances > 0.4, chances > 0.01
    assert (expected_dice(chances, sure, np.ones(4000)) > expected_dice(chances, all_of_it, np.ones(4000))).all()


def test_of_an_empty_mask_nothing_is_expected(chances: np.ndarray) -> None:
    assert np.isnan(expected_dice(chances, np.zeros_like(chances), np.ones(4000))).all()
