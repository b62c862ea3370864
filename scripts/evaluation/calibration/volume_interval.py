"""The expected volume of a structure -> an interval that holds the volume that a person would have drawn."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .conformal import COVERAGE, conformal_radius

DIGITS = 6


@dataclass(frozen=True)
class VolumeInterval:
    """log_ratio: of the reference's volume to the expected one, in the median. radius: of its logarithm; None: not known."""

    log_ratio: float
    radius: float | None

    def interval(self, expected: ArrayLike) -> np.ndarray:
        """(n,) expected volumes -> (n, 2), from 0 to infinity where nobody knows, in their unit."""
        radius = math.inf if self.radius is None else self.radius
        middle = np.asarray(expected, float) * math.exp(self.log_ratio)
        return np.stack([middle * math.exp(-radius), middle * (math.exp(radius) if radius < math.inf else math.inf)], -1)

    def as_dict(self) -> dict[str, Any]:
        return {key: value if value is None else round(value, DIGITS) for key, value in asdict(self).items()}


def fit_volume_interval(expected: np.ndarray, reference: np.ndarray, coverage: float = COVERAGE) -> VolumeInterval:
    """Conformal, on the logarithm of reference over expected volume, around its median.

    Where a reference lacks the structure there is no ratio: such cases are left out, so the interval is that of a structure
    which is there.

    Args:
        expected: (n,) volumes, Σ p over the voxels.
        reference: (n,) volumes, in the same unit.
        coverage: the share of new cases that the interval is to hold.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.volume_interval import fit_volume_interval
        >>> expected = np.full(19, 100.0)
        >>> interval = fit_volume_interval(expected, 100 * 1.01 ** np.arange(-9.0, 10))
        >>> interval.interval([200.0]).round(1).tolist()
        [[182.9, 218.7]]
    """
    there = (reference > 0) & (expected > 0)
    ratios = np.log(reference[there] / expected[there])
    if not len(ratios):
        return VolumeInterval(0.0, None)
    middle = float(np.median(ratios))
    radius = conformal_radius(np.abs(ratios - middle), coverage)
    return VolumeInterval(middle, radius if math.isfinite(radius) else None)
