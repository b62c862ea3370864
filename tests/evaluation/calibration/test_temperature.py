"""A temperature is the factor by which logits are too large, whatever else is in the scan."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, softmax
from simulated import case_of, simulated_case

from scripts.evaluation.calibration.temperature import fit_temperature, negative_log_likelihood, probabilities


def expanded(logits: np.ndarray, chances: np.ndarray, factor: np.ndarray | float) -> list:
    """A case in which each voxel stands once for every reference it may have, and weighs as much as that is likely."""
    count = chances.shape[1]
    reference = np.repeat(np.arange(count), len(logits))
    case = case_of(np.tile(logits * factor, (count, 1)), reference, reference)
    return [replace(case, weights=chances.T.ravel())]


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_of_a_softmax_it_is_found_to_one_percent(factor: float) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (4000, 4))
    cases = expanded(logits, softmax(logits, 1), factor)
    assert fit_temperature(cases, [[1], [2], [3]], regions=False) == pytest.approx([factor], rel=0.01)


def test_of_regions_each_has_its_own() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (6000, 2))
    inner = expit(logits)
    chances = np.stack([1 - inner[:, 0], inner[:, 0] * (1 - inner[:, 1]), inner[:, 0] * inner[:, 1]], 1)
    cases = expanded(logits, chances, np.array([2.0, 1.0]))
    outer = fit_temperature(cases, [[1, 2], [2]], regions=True, each=True)[0]
    assert outer == pytest.approx(2, rel=0.01)


def test_air_does_not_change_it_and_cases_without_all_labels_neither() -> None:
    random = np.random.default_rng(1)
    cases = [simulated_case(random, factor=2.0) for _ in range(5)]
    alone = fit_temperature(cases, [[1]], regions=False)
    assert alone == pytest.approx([2], rel=0.15)
    sampled = ("logits", "weights", "mask", "reference")
    air = case_of(np.tile([4.0, 0.0], (50_000, 1)), np.zeros(50_000), np.zeros(50_000))  # less sure of air than it might be
    with_air = [
        replace(
            case,
            **{name: np.concatenate([getattr(case, name), getattr(air, name)]) for name in sampled},
        )
        for case in cases
    ]
    assert fit_temperature(with_air, [[1]], regions=False) == pytest.approx(alone, rel=1e-3)
    unknown = replace(simulated_case(random, factor=9.0), annotated=False)
    assert fit_temperature([*cases, unknown], [[1]], regions=False) == alone


def test_no_other_temperature_makes_the_references_likelier() -> None:
    cases = [simulated_case(np.random.default_rng(seed), factor=1.7) for seed in range(3)]
    (best,) = fit_temperature(cases, [[1]], regions=False)
    least = negative_log_likelihood(cases, [[1]], False, best)
    assert least < min(negative_log_likelihood(cases, [[1]], False, best * by) for by in (0.95, 1.05))


def test_probabilities_are_those_of_the_structures() -> None:
    logits = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(probabilities(logits, [[1], [2]], False, 2.0), softmax(logits / 2, 1)[:, 1:])
    np.testing.assert_allclose(probabilities(logits, [[1, 2], [2], [1]], True, [1.0, 2.0, 3.0]), expit([[1, 1, 1]]))
