"""One mask and its reference -> how many of the reference's connected components the mask finds, and how many it makes up."""

import numpy as np
import torch
from scipy.ndimage import label

from ..basics.geometry import TOUCHING


def detection(found: torch.Tensor, expected: torch.Tensor) -> dict[str, int]:
    """Counts components of two masks (H, W, D): the detection of lesions, however well their borders are drawn.

    A component of the reference is found if the mask covers at least one of its voxels; a component of the mask is a false
    positive if it covers no voxel of the reference.

    Args:
        found: the mask, bool.
        expected: the reference, bool.

    Returns:
        components_reference, of these components_found, and components_false_positive.

    Example:
        >>> import torch
        >>> from scripts.evaluation import detection
        >>> reference = torch.zeros(8, 8, 3, dtype=torch.bool)
        >>> reference[:2, :2], reference[4:6, 4:6] = True, True
        >>> mask = torch.zeros_like(reference)
        >>> mask[1:3, 1:3], mask[:2, 6:] = True, True
        >>> detection(mask, reference)
        {'components_reference': 2, 'components_found': 1, 'components_false_positive': 1}
    """
    mask, reference = (side.cpu().numpy() for side in (found, expected))
    of_mask, of_reference = _components(mask), _components(reference)
    overlap = mask & reference
    return {
        "components_reference": int(of_reference.max()),
        "components_found": len(np.unique(of_reference[overlap])),
        "components_false_positive": int(of_mask.max()) - len(np.unique(of_mask[overlap])),
    }


def _components(mask: np.ndarray) -> np.ndarray:
    """The number of each voxel's component, from 1; 0 outside."""
    numbers = np.zeros(mask.shape, np.int32)
    label(mask, TOUCHING, output=numbers)
    return numbers
