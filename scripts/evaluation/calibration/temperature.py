"""Logits and references of sampled voxels -> the temperature that makes the references likeliest."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from .sampled_case import SampledCase, members

RANGE = (-4.0, 4.0)  # of the logarithm
POSSIBLE = 0.05  # probability of a structure, before any temperature, from which on a voxel is near it


def probabilities(
    logits: np.ndarray, structures: Sequence[Sequence[int]], regions: bool, temperature: float | Sequence[float] = 1.0
) -> np.ndarray:
    """(N, K) -> (N, S), of each structure; with regions each has a channel, else the background has one more."""
    divided = logits / np.asarray(temperature, float)
    return expit(divided) if regions else softmax(divided, -1)[:, [classes[0] for classes in structures]]


def near_structures(logits: np.ndarray, structures: Sequence[Sequence[int]], regions: bool) -> np.ndarray:
    """(N, K) -> (N,): where some structure is possible. Most of a scan is air: a temperature fitted to all is one of air."""
    return probabilities(logits, structures, regions).max(1) >= POSSIBLE


def negative_log_likelihood(
    cases: Sequence[SampledCase], structures: Sequence[Sequence[int]], regions: bool, temperature: float | Sequence[float]
) -> float:
    """Per voxel near a structure, each case counting alike."""
    return _mean_loss(_Voxels(cases, structures, regions), np.log(np.atleast_1d(temperature)))[0]


def fit_temperature(
    cases: Sequence[SampledCase], structures: Sequence[Sequence[int]], regions: bool, each: bool = False
) -> list[float]:
    """Temperature scaling (Guo et al., "On calibration of modern neural networks", 2017), by maximum likelihood.

    It is fitted to the voxels near structures, by the network itself: borders, not air. That chooses by logits alone, so the
    temperature of a network whose logits are right but for a factor is that factor, wherever it is fitted.

    Args:
        cases: whose voxels' logits and references are fitted to; each case counts alike. Cases of which nobody annotated some
            structure are left out: behind their background may be anything.
        structures: class numbers of each.
        regions: whether each structure is a channel by itself, with a sigmoid; else all channels are the classes of a softmax.
        each: one temperature for each channel, in place of one for all.

    Returns:
        One number, or one for each channel.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.sampled_case import SampledCase
        >>> from scripts.evaluation.calibration.temperature import fit_temperature
        >>> margin = np.linspace(-6, 6, 500)  # of the second class; each voxel twice, once with each class as its reference
        >>> chance, both = 1 / (1 + np.exp(-margin)), np.repeat([0, 1], 500)
        >>> logits = 2.5 * np.tile(np.stack([0 * margin, margin], 1), (2, 1))
        >>> rest = [both, both, *np.zeros((3, 1))]
        >>> case = SampledCase("a", "validation", {}, {}, None, True, both, logits, np.r_[1 - chance, chance], *rest)
        >>> round(fit_temperature([case], [[1]], regions=False)[0], 3)
        2.5
    """
    voxels = _Voxels(cases, structures, regions)
    start = np.zeros(voxels.logits.shape[1] if each else 1)
    found = minimize(lambda log: _mean_loss(voxels, log), start, jac=True, method="L-BFGS-B", bounds=[RANGE] * len(start))
    return [float(temperature) for temperature in np.exp(found.x)]


class _Voxels:
    """Of all fully annotated cases together: logits (N, K), targets (N, K) of 0 and 1, weights (N,) that sum to 1."""

    def __init__(self, cases: Sequence[SampledCase], structures: Sequence[Sequence[int]], regions: bool) -> None:
        known = [case for case in cases if case.annotated]
        near = [near_structures(case.logits, structures, regions) for case in known]
        self.regions = regions
        self.logits = np.concatenate([case.logits[chosen] for case, chosen in zip(known, near, strict=True)])
        references = np.concatenate([case.reference[chosen] for case, chosen in zip(known, near, strict=True)])
        channels = structures if regions else [[number] for number in range(self.logits.shape[1])]
        self.targets = members(references, channels).astype(float)
        weights = [case.weights[chosen].astype(float) for case, chosen in zip(known, near, strict=True)]
        self.weights = np.concatenate([of_case / max(of_case.sum(), 1) for of_case in weights]) / len(known)


def _mean_loss(voxels: _Voxels, log_temperature: np.ndarray) -> tuple[float, np.ndarray]:
    """And its gradient by the logarithms of the temperatures."""
    divided = voxels.logits / np.exp(log_temperature)
    if voxels.regions:
        loss = np.logaddexp(0, divided) - voxels.targets * divided  # (N, K)
        chances = expit(divided)
    else:
        loss = -voxels.targets * log_softmax(divided, -1)
        chances = softmax(divided, -1)
    slope = -((chances - voxels.targets) * divided * voxels.weights[:, None]).sum(0)  # (K,)
    return float(voxels.weights @ loss.sum(-1)), slope if len(log_temperature) > 1 else slope.sum(keepdims=True)
