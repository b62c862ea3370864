"""A mask in its image's own grid -> a NIfTI file beside which the image can be laid voxel by voxel."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from monai.transforms import Transform

from ..atomic_write import atomic_write
from .case_error import CaseError
from .check_case import AFFINE_TOLERANCE, file_of


class SaveMaskd(Transform):
    """Writes `pred` (1, H, W, D) of class indices to `output_dir`/`name`.nii.gz and adds its path as `mask`.

    `pred` must already be back in the grid of the file that `image` was read from: shape and affine are checked against that
    file, whose header is then used, so that mask and image agree to the last bit. uint8, uint16 above 255 labels.
    The file has its final name only when it is complete.

    Raises CaseError when the mask would lie elsewhere than its image, and when it would be written outside `output_dir`.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        mask: MetaTensor = data["pred"]
        file = file_of(data["image"])
        source = nib.load(file)
        grid = source.shape[:3]
        if mask.shape != (1, *grid):
            found = f"the mask has the shape {tuple(mask.shape)}, the image {grid}"
            raise CaseError(file, "a mask must have its image's shape", found, "report this file as a bug")
        difference = float(np.abs(np.asarray(mask.affine, dtype=float) - source.affine).max())
        if not difference <= AFFINE_TOLERANCE:
            found = f"reading the image changed its affine by {difference:g}: sform, qform and spacing contradict each other"
            raise CaseError(file, "a mask must lie exactly on its image", found, "correct the header")
        path = (self.output_dir / f"{data['name']}.nii.gz").resolve()
        if not path.is_relative_to(self.output_dir.resolve()):
            raise CaseError(file, f"masks stay inside {self.output_dir}", f"this one would be {path}", "rename the case")
        labels = mask.as_tensor().cpu().numpy()[0]
        labels = labels.astype(np.uint8 if labels.max() <= 255 else np.uint16)
        with atomic_write(path) as temporary:
            nib.save(type(source)(labels, source.affine, _mask_header(source, labels.dtype)), temporary)
        return {**data, "mask": str(path)}


def _mask_header(source: nib.Nifti1Image, dtype: np.dtype) -> nib.Nifti1Header:
    """The geometry of the source's header, both transforms and their codes, without what concerns its intensities."""
    header = source.header.copy()
    header.extensions.clear()  # may name the patient
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = b"SAM-3D segmentation"
    header["aux_file"] = b""
    return header
