"""A case as it was read -> the same case, or an error that says what is wrong with it."""

from collections.abc import Hashable, Mapping
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from .case_error import CaseError

AFFINE_TOLERANCE = 1e-3  # mm: headers hold single precision


class CheckCased(Transform):
    """`image` (M, H, W, D) and, where there is one, `label` or `reference` (1, H, W, D) must be what the preset says.

    Changes nothing.

    modalities: number of image channels M.
    labels: the names of the label values 0, 1, ...
    """

    def __init__(self, modalities: int, labels: Mapping[str, str]) -> None:
        if not isinstance(labels, Mapping) or list(map(str, labels)) != [str(value) for value in range(len(labels))]:
            raise ValueError(f"the preset's labels must name the values 0, 1, 2, ... in this order, got {labels}")
        self.modalities = modalities
        self.num_classes = len(labels)

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        self._check_image(data["image"])
        for key in ("label", "reference"):
            if key in data:
                self._check_label(data[key], data["image"])
        return data

    def _check_image(self, image: MetaTensor) -> None:
        file = file_of(image)
        if image.ndim != 4 or min(image.shape) < 1:
            shape = " x ".join(str(n) for n in image.shape[1:])
            raise CaseError(file, "an image must be a volume", f"it has the shape {shape}", "stack its slices into one file")
        if image.shape[0] != self.modalities:
            found = f"it has {image.shape[0]} channels"
            raise CaseError(file, f"the preset expects {self.modalities} modalities", found, "choose the preset it belongs to")
        if not torch.isfinite(image).all():
            found = f"{int((~torch.isfinite(image)).sum())} voxels are NaN or infinite"
            raise CaseError(file, "intensities must be finite", found, "export the image again or replace those values")
        if float(image.min()) == float(image.max()):
            raise CaseError(file, "an image must have contrast", f"every voxel is {float(image.min()):g}", "export it again")
        affine = np.asarray(image.affine, dtype=float)
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise CaseError(file, "the affine must place every voxel", f"it is {affine.tolist()}", "correct the header")
        difference = np.abs(affine - nib.load(file).affine).max()
        if not difference <= AFFINE_TOLERANCE:  # MONAI replaces an affine that contradicts itself, without a word
            found = f"sform, qform and spacing contradict each other by up to {difference:g}"
            raise CaseError(file, "the header must place the voxels in one way", found, "correct the header")

    def _check_label(self, label: MetaTensor, image: MetaTensor) -> None:
        file = file_of(label)
        if label.shape[1:] != image.shape[1:] or label.shape[0] != 1:
            found = f"its shape is {tuple(label.shape)}, the image's {tuple(image.shape)} (channels first)"
            raise CaseError(file, f"a label must lie on the grid of {file_of(image)}", found, "resample it onto the image")
        difference = float((label.affine - image.affine).abs().max())
        if not difference <= AFFINE_TOLERANCE:  # also when it is NaN
            found = f"their affines differ by up to {difference:g}"
            raise CaseError(file, f"a label must lie on the grid of {file_of(image)}", found, "resample it onto the image")
        values = torch.unique(torch.as_tensor(label.as_tensor()))
        wrong = [f"{float(v):g}" for v in values if not (float(v).is_integer() and 0 <= float(v) < self.num_classes)]
        if wrong:
            found = f"found {', '.join(wrong[:5])}"
            remedy = "correct the label or the preset's list of labels"
            raise CaseError(file, f"labels must be whole numbers from 0 to {self.num_classes - 1}", found, remedy)


def file_of(tensor: MetaTensor) -> str:
    """The file that a tensor was read from."""
    return str(tensor.meta.get("filename_or_obj", "a tensor without a file"))
