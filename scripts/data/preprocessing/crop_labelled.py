"""A volume and its label -> crops around voxels that somebody labelled."""

from typing import Any

import numpy as np
import torch
from monai.transforms import RandCropByPosNegLabeld
from monai.transforms.utils import generate_label_classes_crop_centers

from .class_chances import CropClasses, class_chances


class RandCropLabelledd(RandCropByPosNegLabeld):
    """MONAI's `RandCropByPosNegLabeld`, whose centres are never voxels to be ignored: neither structure nor background.

    Classes below 0, of label sets (`label_sets`), count as background. Where all voxels are to be ignored, which preprocessing
    may bring about, any may be the centre.

    With `crop_classes` a centre is drawn by class first, then among its voxels, as MONAI's `RandCropByLabelClassesd` does:
    else a class of few voxels is hardly ever seen.

    Args:
        ignore_index: class of the voxels to be ignored; None: there are none.
        crop_classes: `balanced`, or ratios of the classes, see `class_chances`; None: all labelled voxels alike. Then, and if
            nothing is ignored, this is MONAI's.
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

    def __init__(self, ignore_index: int | None = None, crop_classes: CropClasses | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.ignore_index = ignore_index
        self.crop_classes = crop_classes

    def randomize(
        self,
        label: torch.Tensor | None = None,
        fg_indices: Any = None,
        bg_indices: Any = None,
        image: torch.Tensor | None = None,
    ) -> None:
        if self.crop_classes is not None and label is not None:
            self._randomize_by_class(label, self.crop_classes)
            return
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

    def _randomize_by_class(self, label: torch.Tensor, crop_classes: CropClasses) -> None:
        classes = np.asarray(label).ravel().clip(min=0)
        structures = np.flatnonzero(classes)  # few, so that not every class looks through the whole volume
        of_structures = classes[structures].astype(np.int64)
        number = int(of_structures.max(initial=0)) + 1
        voxels = [np.flatnonzero(classes == 0), *(structures[of_structures == value] for value in range(1, number))]
        voxels = [indices for value, indices in enumerate(voxels) if value != self.ignore_index]  # the last class of all
        cropper = self.cropper
        chances = class_chances([*map(len, voxels)], crop_classes, cropper.pos_ratio, 1 - cropper.pos_ratio)
        if chances is None:
            voxels, chances = [np.arange(classes.size)], np.ones(1)
        size, samples = cropper.spatial_size, cropper.num_samples
        cropper.centers = generate_label_classes_crop_centers(
            size, samples, label.shape[1:], voxels, chances.tolist(), cropper.R, cropper.allow_smaller
        )
