"""A mask and what its network says of it -> the Dice that is told without a reference, by one sign or by several."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .expected_dice import expected_dice
from .member_dice import member_dice
from .temperature import probabilities

EXPECTED, UNDECIDED, MEMBERS = "expected", "undecided", "members"
OF_NETWORK, OF_ENSEMBLE = (UNDECIDED,), (UNDECIDED, MEMBERS)
FROM, TO = 0.1, 0.9  # probabilities between which a voxel is undecided


class Judgement(NamedTuple):
    """N sampled voxels of a mask. likely: (N, S), probabilities after temperature and recalibration. logits: (N, K), as the
    network gave them, so that nothing that is fitted changes what is told by them.

    mask: (N, S). weights: (N,). disagreement: (N,), None of one network.
    """

    likely: np.ndarray
    logits: np.ndarray
    mask: np.ndarray
    weights: np.ndarray
    disagreement: np.ndarray | None


def told_dice(by: Sequence[str], found: Judgement, structures: Sequence[Sequence[int]], regions: bool) -> np.ndarray:
    """(S,), the mean of the signs that are named; NaN where a mask is empty.

    by: `expected`, see `expected_dice`; `undecided`, see `decided_dice`; `members`, of an ensemble, see `member_dice`.
    """
    signs = []
    if EXPECTED in by:
        signs.append(expected_dice(found.likely, found.mask, found.weights))
    if UNDECIDED in by:
        signs.append(decided_dice(probabilities(found.logits, structures, regions), found.mask, found.weights))
    if MEMBERS in by:
        signs.append(members_of(found, structures, regions))
    return np.mean(signs, 0)


def members_of(found: Judgement, structures: Sequence[Sequence[int]], regions: bool) -> np.ndarray:
    """(S,), `member_dice`; NaN of one network."""
    if found.disagreement is None:
        return np.full(len(structures), np.nan)
    return member_dice(found.disagreement, found.logits, found.mask, found.weights, structures, regions)


def decided_dice(chances: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 - U / 2V, of U voxels that are undecided and V in the mask: the Dice of two masks that differ in these alone.

    Args:
        chances: (N, S) of each structure in each voxel.
        mask: (N, S), whether the voxel is in the mask of the structure.
        weights: (N,), how many voxels each stands for.

    Returns:
        (S,), below 0 where more is undecided than two such masks hold; NaN where a mask is empty.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.told_dice import decided_dice
        >>> chances = np.array([[0.99], [0.95], [0.8], [0.3], [0.01]])
        >>> decided_dice(chances, chances > 0.5, np.ones(5)).round(2).tolist()
        [0.67]
    """
    total = weights @ mask
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = 1 - weights @ ((chances > FROM) & (chances < TO)) / (2 * total)
    return np.where(total > 0, dice, np.nan)
