"""Predicted and true Dice of cases -> what the error would be if the least trusted cases were looked at by a person."""

from typing import Any

import numpy as np


def risk_coverage(predicted: np.ndarray, dice: np.ndarray) -> dict[str, Any]:
    """The risk-coverage curve (Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017).

    Args:
        predicted: (n,), by which cases are trusted.
        dice: (n,), true; the risk of a case is 1 - Dice.

    Returns:
        `coverage`, the shares of cases that are kept, the most trusted first; `risk`, their mean, and `ideal_risk` in the order
        of the true Dice; `area` under the first, beside those of a `random` order and of the `ideal` one.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.risk_coverage import risk_coverage
        >>> curve = risk_coverage(np.array([0.9, 0.5, 0.8]), np.array([0.9, 0.6, 0.9]))
        >>> curve["risk"], curve["area"] == curve["ideal"] < curve["random"]
        ([0.1, 0.1, 0.2], True)
    """
    risk = _risk(dice[np.argsort(-predicted, kind="stable")])
    ideal = _risk(np.sort(dice)[::-1])
    return {
        "coverage": [round(float(share), 6) for share in np.arange(1, len(dice) + 1) / len(dice)],
        "risk": [round(float(value), 6) for value in risk],
        "ideal_risk": [round(float(value), 6) for value in ideal],
        "area": round(float(risk.mean()), 6),
        "random": round(float(1 - dice.mean()), 6),
        "ideal": round(float(ideal.mean()), 6),
    }


def flagged(predicted: np.ndarray, dice: np.ndarray, below: float) -> dict[str, Any]:
    """What `--flag-below` finds: a case is flagged if a structure's predicted Dice lies below, and wrong if a true one does.

    Args:
        predicted: (n, S), NaN where nothing is predicted.
        dice: (n, S), NaN where there is none.
        below: the Dice.
    """
    flags, wrong = ((values < below).any(1) for values in (predicted, dice))  # NaN is below nothing
    found = int((flags & wrong).sum())
    return {
        "below": below,
        "flagged": int(flags.sum()),
        "wrong": int(wrong.sum()),
        "found": found,
        "share_found": round(found / int(wrong.sum()), 6) if wrong.any() else None,
    }


def _risk(dice: np.ndarray) -> np.ndarray:
    """(n,) in the order in which cases are kept -> the mean risk of the first one, the first two, ..."""
    return np.cumsum(1 - dice) / np.arange(1, len(dice) + 1)
