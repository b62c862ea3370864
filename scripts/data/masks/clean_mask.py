"""A mask -> the same without what validation showed to be mistakes: small objects, all but the largest, holes."""

import math
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import FillHoles, Transform
from scipy.ndimage import find_objects, label

from ...basics.cleaning import FILL_HOLES, KEEP_LARGEST, REMOVE_SMALL, Cleaning, Steps, wrong_cleaning
from ...basics.geometry import TOUCHING, spacing_of


class CleanMaskd(Transform):
    """`pred` (1, H, W, D) of label values -> the same, each structure cleaned as `cleaning` says: `clean_mask`.

    Args:
        labels: label value -> name, the background first.
        cleaning: name -> steps.

    Raises:
        ValueError: for structures and steps that there are not.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import CleanMaskd
        >>> mask = MetaTensor(torch.tensor([[[[7, 7, 0, 0, 7]]]]))
        >>> clean = CleanMaskd({"0": "background", "7": "liver"}, {"liver": {"keep_largest": True}})
        >>> clean({"pred": mask})["pred"].tolist()
        [[[[7, 7, 0, 0, 0]]]]
    """

    def __init__(self, labels: Mapping[str, str], cleaning: Cleaning = MappingProxyType({})) -> None:
        if wrong := wrong_cleaning(labels, cleaning):
            raise ValueError(f"cleaning {wrong}")
        self.steps = {int(value): cleaning[name] for value, name in labels.items() if name in cleaning}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if not self.steps:
            return dict(data)
        pred: MetaTensor = data["pred"]
        mask = pred[0].as_subclass(torch.Tensor).cpu().numpy().copy()
        for value, steps in self.steps.items():
            clean_mask(mask, value, steps, spacing_of(pred.affine).tolist())
        return {**data, "pred": MetaTensor(torch.as_tensor(mask, device=pred.device)[None], meta=pred.meta)}


def clean_mask(mask: np.ndarray, value: int, steps: Steps, spacing: Sequence[float]) -> None:
    """Cleans the voxels of one label value (H, W, D), in place, in this order whatever that of `steps`.

    1. `remove_small`: components below so many mm³ (by the affine; where it means nothing, its voxels are those of 1 mm³)
       become background.
    2. `keep_largest`: so do all but the largest; of equally large ones the first stays.
    3. `fill_holes`: background that is enclosed by this structure alone becomes this structure (MONAI's `FillHoles`). Other
       structures in a hole stay.

    Components are those of scipy, 26-connected; MONAI's transforms for the first two need scikit-image, and mean the same.

    Args:
        mask: label values.
        value: of the structure.
        steps: name -> True, or the size.
        spacing: mm.

    Example:
        >>> import numpy as np
        >>> from scripts.data.masks.clean_mask import clean_mask
        >>> mask = np.ones((5, 5, 5), np.uint8)
        >>> mask[2, 2, 2] = 0
        >>> clean_mask(mask, 1, {"fill_holes": True}, (1.0, 1.0, 1.0))
        >>> int(mask.sum())
        125
    """
    box = next(iter(find_objects((mask == value).astype(np.uint8))), None)
    if box is None:
        return
    inside = mask[box]
    if steps.get(REMOVE_SMALL) or steps.get(KEEP_LARGEST):
        components, _ = label(inside == value, TOUCHING)  # pyright: ignore[reportGeneralTypeIssues]
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        kept = sizes * math.prod(spacing) >= steps.get(REMOVE_SMALL, 0)
        if steps.get(KEEP_LARGEST):
            kept &= np.arange(len(sizes)) == sizes.argmax()
        inside[(components > 0) & ~kept[components]] = 0
    if steps.get(FILL_HOLES):
        filled = np.asarray(FillHoles(1)((inside == value)[None].astype(np.uint8)))[0]
        inside[(filled > 0) & (inside == 0)] = value
