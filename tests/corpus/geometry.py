"""Headers that place their voxels nowhere, twice, or in an odd way."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from .corpus_case import CORRECTED, DOUBT, REFUSED, CorpusCase
from .nifti import AFFINE, PLAIN, image, patched, put

PLACE, ONE_WAY, SIZE = "place every voxel", "place the voxels in one way", "voxel must (measure|have a size)|place every voxel"
SHEAR, UNITS = "right angles", "mm|unit"


def _two(qform: np.ndarray, sform_code: int = 1, qform_code: int = 1) -> bytes:
    volume = image()
    volume.set_sform(AFFINE, sform_code)
    volume.set_qform(qform, qform_code, update_affine=False)
    return volume.to_bytes()


def _moved(*by: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 3] += by
    return affine


def _sform(affine: np.ndarray) -> bytes:
    """Alone, with a spacing field that agrees."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    data = patched(image(qform=0).to_bytes(), srow_x=affine[0], srow_y=affine[1], srow_z=affine[2])
    return patched(data, pixdim=[[1, *spacing, 0, 0, 0, 0]]) if np.isfinite(spacing).all() and spacing.all() else data


def _with_column(axis: int, column: Sequence[float]) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, axis] = column
    return affine


def _sheared(degrees: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 2] += affine[:3, 1] / np.linalg.norm(affine[:3, 1]) * np.tan(np.radians(degrees)) * np.linalg.norm(affine[:3, 2])
    return affine


def _rotated(degrees: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix() @ AFFINE[:3, :3]
    return affine


def _spaced(*pixdim: float) -> list[list[float]]:
    return [[1, *pixdim, 0, 0, 0, 0]]


TURNED = AFFINE @ np.diag([-1, -1, 1, 1])  # half a turn: left and right change places
NEITHER, QFORM_ALONE, SFORM_ALONE = image(sform=0, qform=0).to_bytes(), image(sform=0).to_bytes(), image(qform=0).to_bytes()
METRES = AFFINE * [[0.001], [0.001], [0.001], [1]]

REFUSALS = {
    "mirrored_qform": (_two(AFFINE @ np.diag([-1, 1, 1, 1])), ONE_WAY),
    "turned_qform": (_two(TURNED), ONE_WAY),
    "axes_swapped_in_the_qform": (_two(AFFINE[:, [1, 0, 2, 3]]), ONE_WAY),
    "other_spacing_in_the_qform": (_two(AFFINE @ np.diag([1, 1, 2, 1])), ONE_WAY),
    "slightly_other_spacing_in_the_qform": (_two(AFFINE @ np.diag([1, 1, 1.05, 1])), ONE_WAY),
    "template_in_both_and_they_differ": (_two(TURNED, 4, 4), ONE_WAY),
    "sform_of_zeros": (_sform(np.zeros((4, 4))), PLACE),
    "sform_singular": (_sform(_with_column(2, AFFINE[:3, 1])), PLACE),
    "sform_without_third_axis": (_sform(_with_column(2, [0, 0, 0])), PLACE),
    "sform_nan": (_sform(_with_column(1, [np.nan, 1, 1])), PLACE),
    "sform_infinite": (_sform(_with_column(3, [np.inf, 1, 1])), PLACE),
    "sform_far_too_small": (_sform(AFFINE * 1e-4), SIZE),
    "sform_far_too_large": (_sform(AFFINE @ np.diag([500, 500, 500, 1])), SIZE),
    "qform_without_spacing": (patched(QFORM_ALONE, pixdim=_spaced(0, 0, 0)), SIZE),
    "qform_with_one_spacing_0": (patched(QFORM_ALONE, pixdim=_spaced(1, 1.2, 0)), SIZE),
    "qform_with_spacing_nan": (patched(QFORM_ALONE, pixdim=_spaced(1, np.nan, 3)), SIZE),
    "qform_that_is_no_rotation": (patched(QFORM_ALONE, quatern_b=1, quatern_c=1, quatern_d=1), f"{PLACE}|whole"),
    "qform_nan": (patched(QFORM_ALONE, quatern_b=np.nan), PLACE),
    "qform_at_nan": (patched(QFORM_ALONE, qoffset_x=np.nan), PLACE),
    "neither_form_and_spacing_0": (patched(NEITHER, pixdim=_spaced(0, 0, 0)), SIZE),
    "neither_form_and_spacing_nan": (patched(NEITHER, pixdim=_spaced(np.nan, 1, 1)), SIZE),
    "neither_form_and_spacing_infinite": (patched(NEITHER, pixdim=_spaced(np.inf, 1, 1)), SIZE),
    "a_thousand_mm": (patched(NEITHER, pixdim=_spaced(1, 1, 1000)), SIZE),
    "a_thousandth_mm": (patched(NEITHER, pixdim=_spaced(0.001, 0.001, 0.001)), SIZE),
    "sform_code_that_is_none": (patched(SFORM_ALONE, sform_code=77), "codes of transforms"),
    "sform_code_below_0": (patched(SFORM_ALONE, sform_code=-1), "codes of transforms"),
    "unit_that_is_none": (patched(PLAIN, xyzt_units=5), UNITS),
    "metres_that_are_mm": (patched(PLAIN, xyzt_units=1), SIZE),
    "micrometres_that_are_mm": (patched(PLAIN, xyzt_units=3), SIZE),
}

DOUBTS = {
    "moved_qform": (_two(_moved(5, 0, 0)), ONE_WAY),
    "slightly_moved_qform": (_two(_moved(0, 0.4, 0)), ONE_WAY),
    "rotated_qform": (
        _two(_rotated(4)),
        ONE_WAY,
    ),
    "template_sform_elsewhere": (_two(_moved(40, -20, 10), 4, 1), ONE_WAY),
    "template_sform_turned": (_two(TURNED, 3, 1), ONE_WAY),
    "neither_form": (NEITHER, "how the patient lies"),
    "spacing_field_of_another_image": (patched(SFORM_ALONE, pixdim=_spaced(2, 2, 2)), "one spacing"),
    "sheared_by_half_a_degree": (_sform(_sheared(0.5)), SHEAR),
    "sheared_by_20_degrees": (_sform(_sheared(20)), SHEAR),
    "unit_not_said_and_30_mm": (patched(_sform(AFFINE @ np.diag([1, 1, 10, 1])), xyzt_units=0), UNITS),
}

CORRECTIONS = {
    "metres": (image(affine=METRES, unit="meter").to_bytes(), UNITS),
    "micrometres": (image(affine=AFFINE * [[1000], [1000], [1000], [1]], unit="micron").to_bytes(), UNITS),
    "qform_with_negative_spacing": (patched(QFORM_ALONE, pixdim=_spaced(1, -1.2, 3)), "spacing must be positive"),
    "neither_form_and_negative_spacing": (patched(NEITHER, pixdim=_spaced(-1, 1, 3)), "spacing must be positive"),
    "spacing_0_beside_an_sform": (patched(SFORM_ALONE, pixdim=_spaced(0, 0, 0)), "must not be 0"),
    "spacing_0_beside_both": (patched(PLAIN, pixdim=_spaced(0, 0, 0)), "must not be 0|qform"),
    "qform_nan_beside_an_sform": (patched(PLAIN, qoffset_x=np.nan), "qform must place"),
    "qform_no_rotation_beside_an_sform": (patched(PLAIN, quatern_b=1, quatern_c=1, quatern_d=1), "qform must place"),
}

CASES = [
    CorpusCase(f"geometry/{name}.nii.gz", outcome, put(data), rule)
    for outcome, group in ((REFUSED, REFUSALS), (DOUBT, DOUBTS), (CORRECTED, CORRECTIONS))
    for name, (data, rule) in group.items()
]
