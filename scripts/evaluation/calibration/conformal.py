"""Errors on cases that were not fitted to -> how large that of the next case may be."""

import math

import numpy as np

COVERAGE = 0.9  # the share of cases that an interval is to hold


def conformal_radius(errors: np.ndarray, coverage: float = COVERAGE) -> float:
    """The split-conformal quantile (Lei et al., "Distribution-free predictive inference for regression", 2018, section 2.2).

    Where the next case is drawn as those were, its error is at most this with at least that probability, whatever the
    distribution.

    Args:
        errors: (n,), absolute.
        coverage: above 0, below 1.

    Returns:
        The ceil((n + 1) coverage)-th smallest of them; infinite where there are too few: fewer than 9 for 0.9.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.conformal import conformal_radius
        >>> conformal_radius(np.arange(1, 20)), conformal_radius(np.arange(1, 9))
        (18.0, inf)
    """
    rank = math.ceil((len(errors) + 1) * coverage - 1e-9)  # 10 * 0.9 is a little more than 9
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else math.inf
