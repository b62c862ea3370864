"""A volume and its label -> crops around voxels that somebody labelled."""

from typing import Any

import numpy as np
import torch
from monai.transforms import RandCropByPosNegLabeld


class RandCropLabelledd(RandCropByPosNegLabeld):
    """MONAI's `RandCropByPosNegLabeld`, whose centres are never voxels to be ignored: neither structure nor background.

    Classes below 0, of label sets (`label_sets`), count as background. Where all voxels are to be ignored, which preprocessing
    may bring about, any may be the centre.

    Args:
        ignore_index: class of those voxels; None: there are none, and this is MONAI's.
        arguments: MONAI's.

    Example:
        >>> import torch
        >>> from scripts.data import RandCropLabelledd
        >>> label = torch.full((1, 8, 8, 9), 2.0)  # to be ignored, but for one slice
        >>> label[..., 4] = 0
        >>> label[:, 3:5, 3:5, 4] = 1
        >>> crop = RandCropLabelledd(ignore_index=2, keys="label", label_key="label", spatial_size=(8, 8, 1))
        >>> crop({"label": label})[0]["label"].unique().tolist()
        [0.0, 1.0]
    """

    def __init__(self, ignore_index: int | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.ignore_index = ignore_index

    def randomize(
        self,
        label: torch.Tensor | None = None,
        fg_indices: Any = None,
        bg_indices: Any = None,
        image: torch.Tensor | None = None,
    ) -> None:
        if label is not None and (self.ignore_index is not None or label.min() < 0):
            classes = np.asarray(label).ravel()
            ignored = np.zeros_like(classes, bool) if self.ignore_index is None else classes == self.ignore_index
            labelled = np.flatnonzero((classes > 0) & ~ignored)
            background = np.flatnonzero(classes <= 0)
            anywhere = np.arange(classes.size)
            # Of each kind, lest MONAI warns in every step of a volume that has one kind alone.
            fg_indices = next(filter(len, (labelled, background, anywhere)))
            bg_indices = next(filter(len, (background, labelled, anywhere)))
        super().randomize(label, fg_indices, bg_indices, image)
