"""In which voxels the networks of an ensemble disagree -> the mean Dice between their masks."""

from collections.abc import Sequence

import numpy as np

from .temperature import probabilities


def member_dice(
    disagreement: np.ndarray,
    logits: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
    structures: Sequence[Sequence[int]],
    regions: bool,
) -> np.ndarray:
    """The mean Dice of two networks' masks, by which that of their ensemble's mask can be told (Zenk et al., "Comparative
    benchmarking of failure detection methods in medical image segmentation", Medical Image Analysis 101, 2025).

    It is 1 - Δ / 2V, with Δ the mean size of what is in one of two masks alone and V the size of the ensemble's mask for the
    mean of theirs. A voxel of Δ belongs to the two classes that are likeliest there; between regions it is shared out by how
    undecided each is. Exact where networks waver between two classes and their masks are as large as the ensemble's.

    Args:
        disagreement: (N,), the share of pairs of networks that call the voxel by different classes, see `networks.Ensemble`.
        logits: (N, K), of the ensemble.
        mask: (N, S), whether the voxel is in the ensemble's mask of the structure.
        weights: (N,), how many voxels each stands for.
        structures: class numbers of each.
        regions: whether each structure is a channel by itself.

    Returns:
        (S,), NaN where a mask is empty.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.member_dice import member_dice
        >>> masks = np.array([[1, 1, 0, 0], [1, 1, 1, 0]])  # of two networks, whose Dice is 0.8
        >>> logits = np.array([[-5, 5], [-5, 5], [-1, 1], [5, -5]])
        >>> apart, together = (masks[0] != masks[1]).astype(float), logits.argmax(1)[:, None] == 1
        >>> member_dice(apart, logits, together, np.ones(4), [[1]], regions=False).round(2).tolist()
        [0.83]
    """
    if regions:
        chances = probabilities(logits, structures, regions)
        undecided = chances * (1 - chances)
        involved = undecided / np.maximum(undecided.sum(1, keepdims=True), np.finfo(float).tiny)
    else:
        likeliest = np.argsort(-logits, 1)[:, :2]
        involved = np.stack([np.isin(likeliest, list(classes)).any(1) for classes in structures], 1)
    size = weights @ mask
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = 1 - (weights * disagreement) @ involved / (2 * size)
    return np.where(size > 0, np.clip(dice, 0, 1), np.nan)
