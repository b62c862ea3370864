"""Cases -> parts: what is fitted on the others is measured on each in turn."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

PARTS, SEED = 5, 0
Fitted = TypeVar("Fitted")


def parts_of(groups: Sequence[str], parts: int = PARTS) -> np.ndarray:
    """(n,): the part of each case, drawn with a fixed seed; cases of one group, such as a patient, stay together."""
    names = sorted(set(groups))
    order = np.random.default_rng(SEED).permutation(len(names))
    return np.array([order[names.index(group)] % parts for group in groups])


def cross_fit(
    parts: np.ndarray, fit: Callable[[np.ndarray], Fitted], apply: Callable[[Fitted, np.ndarray], np.ndarray]
) -> np.ndarray:
    """(n,) parts of cases -> what `apply` gives for each part, of what `fit` found on all others, (n, ...).

    Args:
        parts: of each case.
        fit: gets (n,) of bool, the cases to fit to.
        apply: gets what was found, and (n,) of bool, the cases to measure; gives an array with a row for each of these.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.cross_fit import cross_fit
        >>> values, parts = np.array([1.0, 2.0, 6.0]), np.array([0, 0, 1])
        >>> cross_fit(parts, lambda known: values[known].mean(), lambda mean, held_out: values[held_out] - mean)
        array([-5. , -4. ,  4.5])
    """
    held_out = [parts == part for part in np.unique(parts)]
    applied = [apply(fit(~part), part) for part in held_out]
    result = np.empty((len(parts), *applied[0].shape[1:]))
    for part, values in zip(held_out, applied, strict=True):
        result[part] = values
    return result
