"""Labels that cannot be trained on, or evaluated against, and one that can once it is turned."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from scripts.data.phantoms import phantom, reorient

from .corpus_case import CORRECTED, REFUSED, WRITTEN
from .nifti import AFFINE, PLAIN, SHAPE, image, patched, put

LABEL = phantom(np.random.default_rng(11), SHAPE)[1]


@dataclass(frozen=True)
class LabelCase:
    """write: puts the label of the plain image at a path."""

    name: str
    outcome: str
    write: Callable[[Path], object]
    rule: str = ""


def _one(value: float, dtype: type = np.float32) -> bytes:
    """One voxel replaced."""
    voxels = LABEL.astype(dtype)
    voxels[5, 6, 3] = value
    return image(voxels).to_bytes()


def _at(affine: np.ndarray) -> bytes:
    return image(LABEL, affine).to_bytes()


def _moved(millimetres: float) -> np.ndarray:
    return AFFINE + np.array([[0, 0, 0, millimetres], *[[0] * 4] * 3])


VALUES, WHOLE_NUMBERS, GRID = "may hold the values", "whole numbers", "on one grid"
PARTS: dict[str, tuple[str, bytes, str]] = {
    "plain": (WRITTEN, image(LABEL).to_bytes(), ""),
    "as_float": (WRITTEN, image(LABEL.astype(np.float64)).to_bytes(), ""),
    "scaled": (WRITTEN, patched(image((LABEL * 2).astype(np.int16)).to_bytes(), scl_slope=0.5, scl_inter=0), ""),
    "nifti2": (WRITTEN, image(LABEL, kind=nib.Nifti2Image).to_bytes(), ""),
    "rounding_of_an_interpolation": (WRITTEN, image(LABEL.astype(np.float32) + np.float32(1e-5)).to_bytes(), ""),
    "stored_along_other_axes": (CORRECTED, reorient(image(LABEL), "PIR").to_bytes(), "along its image's axes"),
    "stored_backwards": (CORRECTED, reorient(image(LABEL), "LPI").to_bytes(), "along its image's axes"),
    "fractional": (REFUSED, _one(1.5), WHOLE_NUMBERS),
    "probabilities": (REFUSED, image(LABEL.astype(np.float32) / 3).to_bytes(), WHOLE_NUMBERS),
    "too_large": (REFUSED, _one(7), VALUES),
    "as_255": (REFUSED, image((LABEL > 0).astype(np.uint8) * 255).to_bytes(), VALUES),
    "negative": (REFUSED, _one(-1), VALUES),
    "nan": (REFUSED, _one(np.nan), WHOLE_NUMBERS),
    "infinite": (REFUSED, _one(np.inf), WHOLE_NUMBERS),
    "the_image_itself": (REFUSED, PLAIN, VALUES),
    "one_slice_missing": (REFUSED, image(LABEL[..., :-1]).to_bytes(), GRID),
    "half_the_resolution": (REFUSED, image(LABEL[::2, ::2], AFFINE @ np.diag([2, 2, 1, 1])).to_bytes(), GRID),
    "axes_swapped": (REFUSED, image(LABEL.transpose(1, 0, 2)).to_bytes(), GRID),
    "elsewhere": (REFUSED, _at(_moved(30)), GRID),
    "a_voxel_aside": (REFUSED, _at(_moved(1)), GRID),
    "without_geometry": (REFUSED, _at(np.eye(4)), GRID),
    "mirrored": (REFUSED, _at(AFFINE @ np.diag([-1, 1, 1, 1])), GRID),
    "upside_down": (REFUSED, _at(AFFINE @ np.diag([1, 1, -1, 1])), GRID),
    "two_channels": (REFUSED, image(np.stack([LABEL, LABEL], -1)).to_bytes(), "one value for each voxel"),
    "one_hot": (REFUSED, image(np.stack([k == LABEL for k in range(4)], -1).astype(np.uint8)).to_bytes(), "one value for each"),
    "one_hot_along_a_fifth_axis": (
        REFUSED,
        image(np.stack([k == LABEL for k in range(4)], -1).astype(np.uint8)[..., None, :]).to_bytes(),
        "one value for each",
    ),
    "a_fourth_axis_of_one": (WRITTEN, image(LABEL[..., None]).to_bytes(), ""),
    "two_axes_of_one": (WRITTEN, image(LABEL[..., None, None]).to_bytes(), ""),
    "two_dimensions": (REFUSED, image(LABEL[..., 3]).to_bytes(), "volume"),
    "colours": (REFUSED, nib.Nifti1Image(np.zeros(SHAPE, [(c, "u1") for c in "RGB"]), AFFINE).to_bytes(), "one real number"),
    "all_background": (REFUSED, image(np.zeros_like(LABEL)).to_bytes(), "show a structure"),
    "cut": (REFUSED, image(LABEL).to_bytes()[:-100], "whole"),
    "empty": (REFUSED, b"", "whole"),
}

EMPTY = "all_background"  # which evaluation accepts: a patient may have nothing to find
LABELS = [LabelCase(name, outcome, put(data) if data else Path.touch, rule) for name, (outcome, data, rule) in PARTS.items()]
