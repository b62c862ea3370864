"""Cases of a network whose probabilities are known, since the references are drawn by them."""

from typing import Any

import numpy as np
from scipy.special import softmax

from scripts.evaluation.calibration.sampled_case import SampledCase

VOXELS = 2000


def simulated_case(
    random: np.random.Generator, factor: float = 1.0, voxels: int = 3000, blur: float | None = None
) -> SampledCase:
    """A ball of class 1 in background, whose logits are `factor` times those by which the reference was drawn.

    blur: of the ball's border, in voxels; by default drawn: the wider, the worse the mask.
    """
    blur = random.uniform(0.5, 4) if blur is None else blur
    radius = random.uniform(0, 20, VOXELS)
    margin = (10 - radius) / blur
    logits = np.stack([np.zeros(VOXELS), margin], 1)
    reference = (random.random(VOXELS) < softmax(logits, 1)[:, 1]).astype(np.uint16)
    mask = (margin > 0).astype(np.uint16)
    return case_of(logits * factor, mask, reference)


def case_of(logits: np.ndarray, mask: np.ndarray, reference: np.ndarray, **others: Any) -> SampledCase:
    """Each voxel counts once, and there are no others."""
    numbers = range(1, logits.shape[1])
    inside, expected = (np.stack([side == number for number in numbers]) for side in (mask, reference))
    sizes = [side.sum(1).astype(float) for side in (inside, expected)]
    with np.errstate(invalid="ignore"):
        dice = 2 * (inside & expected).sum(1) / (sizes[0] + sizes[1])
    described = {"name": "case", "part": "validation", "files": {}, "cleaning": {}, "spacing": None, "annotated": True}
    arrays = {"places": np.arange(len(mask)), "logits": logits, "weights": np.ones(len(mask)), "mask": mask}
    measured = {"reference": reference, "dice": dice, "voxels": sizes[0], "voxels_reference": sizes[1]}
    return SampledCase(**described | arrays | measured | others)
