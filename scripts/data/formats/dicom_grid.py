"""DICOM slices in any order -> the same slices in the order of a regular grid, or an error that says which do not fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.multival import MultiValue

from ..cases.case_error import CaseError
from .dicom_slice import Slice, check_slice

ROUNDING = 0.02  # mm, of the difference of two positions: headers give them in hundredths
COSINE = 1e-4  # and directions in four digits or more
STEP = 0.01  # of the distance between slices, by which one distance may differ from the others
COMMON = (  # of all slices; bits may differ, since each slice is decoded by its own header
    "SOPClassUID",
    "FrameOfReferenceUID",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
)


def regular_grid(path: str, slices: Sequence[Slice]) -> list[Slice]:
    """In order along the normal of their plane; `path` is named when they do not belong together."""
    for image in slices:
        check_slice(image)
    _refuse_differences(path, slices)
    normal = np.cross(*slices[0].across)
    slices = sorted(slices, key=lambda image: float(normal @ image.position))
    if len(slices) > 1:
        offsets = np.stack([image.position - slices[0].position for image in slices])
        along = offsets @ normal
        _refuse_copies(path, slices, along)
        _refuse_gaps(path, slices, along)
        _refuse_shifts(path, slices, along, np.linalg.norm(offsets - along[:, None] * normal, axis=1))
    return slices


def _refuse_differences(path: str, slices: Sequence[Slice]) -> None:
    for keyword in COMMON:
        expected = slices[0].header.get(keyword)
        odd = [image for image in slices if _differ(expected, image.header.get(keyword))]
        if odd:
            found = f"it is {expected} in {slices[0].file.name}, {odd[0].header.get(keyword)} in {_names(odd)}"
            remedy = "remove what does not belong to the volume (such as a localizer)"
            raise CaseError(path, f"all slices must have the same {keyword}", found, remedy)


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, MultiValue) and isinstance(b, MultiValue):
        return not np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=COSINE, atol=COSINE)
    return a != b


def _refuse_copies(path: str, slices: Sequence[Slice], along: np.ndarray) -> None:
    """along: mm from the first slice, ascending."""
    k = int(np.diff(along).argmin())
    if along[k + 1] - along[k] < ROUNDING / 20:
        pair = slices[k : k + 2]
        copies = pair[0].header.get("SOPInstanceUID") == pair[1].header.get("SOPInstanceUID")
        found = f"{_names(pair)} lie at the same place" + (" and are copies of one slice" if copies else "")
        remedy = "remove copies; give each of several times or echoes a folder"
        raise CaseError(path, "each slice must be there once", found, remedy)


def _refuse_gaps(path: str, slices: Sequence[Slice], along: np.ndarray) -> None:
    steps = np.diff(along)
    step = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median: of two steps the longer one is the gap
    wrong = np.flatnonzero(np.abs(steps - step) > max(STEP * step, ROUNDING))
    if wrong.size:
        k = int(wrong[0])
        missing = round(steps[k] / step) - 1
        found = f"{_names(slices[k : k + 2])} lie {steps[k]:.6g} mm apart, others {step:.6g} mm"
        found += f"; {missing} seem{'s' * (missing == 1)} to be missing there" if missing > 0 else ""
        found += f"; there are {wrong.size} such places" if wrong.size > 1 else ""
        raise CaseError(path, "slices must be evenly spaced", found, "copy the whole series again, or resample it")


def _refuse_shifts(path: str, slices: Sequence[Slice], along: np.ndarray, sideways: np.ndarray) -> None:
    """along, sideways: mm from the first slice."""
    beyond = sideways - (ROUNDING + 2 * COSINE * along)
    k = int(beyond.argmax())
    if beyond[k] > 0:
        found = f"{slices[k].file.name} is shifted by {sideways[k]:.3g} mm in its plane against {slices[0].file.name}"
        remedy = "convert the series to NIfTI with correction of the gantry's tilt, or remove what does not belong to it"
        raise CaseError(path, "slices must lie straight behind each other", found, remedy)


def _names(slices: Sequence[Slice]) -> str:
    names = [image.file.name for image in slices]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"
