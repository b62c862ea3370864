"""Shapes, types and values of voxels that are no volume of grey values, or one with nothing to see."""

import nibabel as nib
import numpy as np

from .corpus_case import DOUBT, REFUSED, CorpusCase
from .nifti import AFFINE, PLAIN, VOXELS, image, patched, put

FLOATS = VOXELS.astype(np.float32)


def _with(value: float, dtype: type = np.float32) -> bytes:
    """One voxel replaced."""
    voxels = VOXELS.astype(dtype)
    voxels[3, 4, 5] = value
    return image(voxels).to_bytes()


def _bytes(*shape: int) -> bytes:
    return image(np.resize(VOXELS, shape)).to_bytes()


def _structured(*fields: tuple[str, str]) -> bytes:
    voxels = np.zeros(VOXELS.shape, np.dtype(list(fields)))
    for name, _ in fields:
        voxels[name] = VOXELS % 256
    return nib.Nifti1Image(voxels, AFFINE).to_bytes()


def _filled(*values: int) -> bytes:
    voxels = VOXELS.astype(np.int16)
    for row, value in enumerate(values):
        voxels[3 * row : 3 * row + 3] = value
    return image(voxels).to_bytes()


FILL = "without a value"
BRIGHT = np.where(np.arange(VOXELS.size).reshape(VOXELS.shape) % 1000 == 99, 3000, 0).astype(np.int16)  # three voxels
RGB = [(name, "u1") for name in "RGB"]
NO_VOLUME, ONE_NUMBER, READABLE = "must be a volume", "one real number", "whole, readable|one real number"

REFUSALS = {
    "rows_longer_than_said": (patched(_bytes(22, 19, 70), dim=(1, 20)), "what its header says"),
    "slices_more_than_said": (patched(_bytes(22, 19, 7), dim=(3, 5)), "what its header says"),
    "two_dimensions": (_bytes(22, 19), NO_VOLUME),
    "one_dimension": (_bytes(22), NO_VOLUME),
    "time_series": (_bytes(22, 19, 7, 4), "expects 1 modalit"),
    "two_channels": (_bytes(22, 19, 7, 2), "expects 1 modalit"),
    "vectors": (_bytes(22, 19, 7, 1, 3), "expects 1 modalit"),
    "times_and_vectors": (_bytes(22, 19, 7, 2, 3), NO_VOLUME),
    "seven_dimensions": (_bytes(4, 4, 4, 2, 2, 2, 2), NO_VOLUME),
    "rgb": (_structured(*RGB), ONE_NUMBER),
    "rgba": (_structured(*RGB, ("A", "u1")), ONE_NUMBER),
    "complex64": (image(FLOATS.astype(np.complex64)).to_bytes(), ONE_NUMBER),
    "complex128": (image(FLOATS.astype(np.complex128)).to_bytes(), ONE_NUMBER),
    "no_slices": (patched(PLAIN, dim=(3, 0)), "must have voxels|whole"),
    "no_columns": (patched(PLAIN, dim=(1, 0)), "must have voxels|whole"),
    "minus_7_slices": (patched(PLAIN, dim=(3, -7)), "must have voxels|whole"),
    "minus_22_columns": (patched(PLAIN, dim=(1, -22)), "must have voxels|whole"),
    "no_dimensions": (patched(PLAIN, dim=(0, 0)), "must have voxels|whole"),
    "eight_dimensions": (patched(PLAIN, dim=(0, 8)), "whole"),
    "minus_3_dimensions": (patched(PLAIN, dim=(0, -3)), "whole"),
    "type_unknown": (patched(PLAIN, datatype=0, bitpix=0), READABLE),
    "type_of_one_bit": (patched(PLAIN, datatype=1, bitpix=1), READABLE),
    "type_that_is_none": (patched(PLAIN, datatype=9999), READABLE),
    "type_float16": (patched(image(VOXELS.astype(np.int16)).to_bytes(), datatype=16384, bitpix=16), READABLE),
    "type_float128": (patched(PLAIN, datatype=1536, bitpix=128), READABLE),
    "one_voxel": (_bytes(1, 1, 1), "contrast"),
    "nan": (_with(np.nan), "finite"),
    "infinity": (_with(np.inf), "finite"),
    "minus_infinity": (_with(-np.inf, np.float64), "finite"),
    "too_large_for_single_precision": (_with(1e39, np.float64), "finite"),
    "all_nan": (image(np.full(VOXELS.shape, np.nan, np.float32)).to_bytes(), "finite"),
    "constant": (image(np.full(VOXELS.shape, 7, np.int16)).to_bytes(), "contrast"),
    "black": (image(np.zeros(VOXELS.shape, np.float32)).to_bytes(), "contrast"),
    "three_bright_voxels": (
        image(BRIGHT).to_bytes(),
        "contrast",
    ),
    "widest_range": (image(np.where(np.median(VOXELS) < VOXELS, 3e38, -3e38).astype(np.float32)).to_bytes(), "contrast"),
    "scaled_beyond_single_precision": (patched(PLAIN, scl_slope=1e38), "finite"),
    "offset_nan": (patched(PLAIN, scl_slope=2, scl_inter=np.nan), "whole|finite|scal"),
    "offset_infinite": (patched(PLAIN, scl_slope=2, scl_inter=np.inf), "whole|finite|scal"),
    "slope_infinite": (patched(PLAIN, scl_slope=np.inf, scl_inter=0), "whole|finite|scal"),
}

DOUBTS = {
    "a_border_of_fill": (_filled(-32768), FILL),
    "a_border_of_bright_fill": (_filled(32767), FILL),
    "a_border_of_two_fills": (_filled(-32768, 32767), FILL),
    "one_slice": (_bytes(22, 19, 1), "several slices"),
    "one_column": (_bytes(1, 19, 7), "several slices"),
    "one_row": (_bytes(22, 1, 7), "several slices"),
    "bits_of_another_type": (patched(PLAIN, bitpix=64), "one size of a voxel"),
}

CASES = [
    *(CorpusCase(f"shapes/{name}.nii.gz", REFUSED, put(data), rule) for name, (data, rule) in REFUSALS.items()),
    *(CorpusCase(f"shapes/{name}.nii.gz", DOUBT, put(data), rule) for name, (data, rule) in DOUBTS.items()),
]
