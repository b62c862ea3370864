"""The calibration error is MONAI's, and by hand; a weighted sample gives that of all voxels."""

import numpy as np
import pytest
import torch
from monai.metrics import CalibrationErrorMetric

from scripts.evaluation.calibration.recalibration import fit_recalibration
from scripts.evaluation.calibration.reliability import BINS, calibration_error, reliability, uniformly_drawn


def by_hand(probabilities: np.ndarray, references: np.ndarray) -> float:
    """Naeini et al., 2015, in double precision."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    total = 0.0
    for number in range(BINS):
        chosen = bins == number
        if chosen.any():
            total += chosen.mean() * abs(probabilities[chosen].mean() - references[chosen].mean())
    return total


@pytest.fixture
def voxels() -> tuple[np.ndarray, np.ndarray]:
    """Of two structures; the second is overconfident."""
    random = np.random.default_rng(0)
    probabilities = random.beta(0.5, 0.5, (5000, 2))
    return probabilities, random.random((5000, 2)) < probabilities * [1.0, 0.7]


def test_it_is_monais_and_by_hand(voxels: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, references = voxels
    errors = calibration_error(probabilities, references)
    assert errors == pytest.approx([by_hand(*pair) for pair in zip(probabilities.T, references.T, strict=True)], abs=1e-5)
    metric = CalibrationErrorMetric(num_bins=BINS, metric_reduction="none")
    metric(*(torch.from_numpy(side.T.copy())[None].float() for side in voxels))
    assert errors == pytest.approx(metric.aggregate()[0].tolist(), abs=1e-5)
    assert errors[0] < 0.03 < 0.1 < errors[1]


def test_the_line_holds_every_voxel_and_gives_the_same_error(voxels: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, references = (side[:, 1:] for side in voxels)
    rows = reliability(probabilities, references)
    assert sum(row["voxels"] for row in rows) == len(probabilities)
    error = sum(row["voxels"] * abs(row["probability"] - row["share"]) for row in rows) / len(probabilities)
    assert calibration_error(probabilities, references) == pytest.approx([error], abs=1e-4)


def test_a_uniform_sample_draws_each_voxel_as_often_as_it_weighs() -> None:
    weights = np.array([1.0, 3.0, 6.0])
    assert np.bincount(uniformly_drawn(weights, 1000)).tolist() == [100, 300, 600]
    assert len(uniformly_drawn(np.random.default_rng(0).random(77))) == 10_000


def test_recalibrated_probabilities_are_the_shares_and_rise(voxels: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, references = (side[:, 1] for side in voxels)
    recalibration = fit_recalibration(probabilities, references, np.ones(len(probabilities)))
    after = recalibration(probabilities)
    assert after.mean() == pytest.approx(references.mean(), abs=0.01)
    assert calibration_error(after[:, None], references[:, None])[0] < 0.04
    assert (np.diff(recalibration(np.linspace(0, 1, 500))) >= 0).all()
