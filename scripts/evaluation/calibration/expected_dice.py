"""Probabilities of a structure and its mask -> the Dice and the volume that they let expect."""

import numpy as np


def expected_dice(probabilities: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """2 Σ p m / (Σ p + Σ m): the Dice of the mask with a reference of which each voxel is drawn by its probability.

    It is the ratio of two expectations, which for structures of many voxels is the expectation of the ratio.

    Args:
        probabilities: (N, S) of each structure in each voxel.
        mask: (N, S), whether the voxel is in the mask of the structure.
        weights: (N,), how many voxels each stands for.

    Returns:
        (S,), NaN where a mask is empty: nothing was drawn whose Dice could be expected.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.expected_dice import expected_dice
        >>> chances = np.array([[0.9], [0.8], [0.3], [0.0]])
        >>> expected_dice(chances, chances > 0.5, np.ones(4)).round(3).tolist()
        [0.85]
    """
    total = weights @ mask
    with np.errstate(invalid="ignore"):
        dice = 2 * (weights @ (probabilities * mask)) / (weights @ probabilities + total)
    return np.where(total > 0, dice, np.nan)


def expected_voxels(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ p, (S,): the size of each structure to expect, in voxels."""
    return weights @ probabilities


def mean_confidence(probabilities: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(S,): the mean probability of a structure over the voxels of its mask, NaN where that is empty."""
    total = weights @ mask
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, weights @ (probabilities * mask) / total, np.nan)
