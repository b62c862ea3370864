"""DICOM slices in any order -> the same slices in the order of a regular grid, or an error that says which do not fit."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from pydicom.multival import MultiValue

from ..cases.case_error import CaseError
from .dicom_slice import OF_A_VOLUME, Slice, check_slice, numbers_of
from .image_file import Note

EVEN, ONE = "slices must be evenly spaced", "a series should be one acquisition"
ROUNDING = 0.02  # mm, of the difference of two positions: headers give them in hundredths
TENTH = 0.1  # mm: some give no more than tenths
UNEVEN = 0.2  # of the distance between slices, by which such rounding may change it
COSINE = 1e-4  # and directions in four digits or more
STEP = 0.01  # of the distance between slices, by which one distance may differ from the others
COMMON = (  # of all slices; bits may differ, since each slice is decoded by its own header
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "Modality",
    "SOPClassUID",
    "FrameOfReferenceUID",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
)
ONE_ACQUISITION = ("AcquisitionNumber", "TemporalPositionIdentifier", "EchoNumbers", "ImageType")
MOST_RUNS = 4  # acquisitions whose slices lie between each other


def regular_grid(path: str, slices: Sequence[Slice]) -> tuple[list[Slice], list[Note]]:
    """In order along the normal of their plane, and what is odd about them.

    `path` is named when they do not belong together.
    """
    for image in slices:
        check_slice(image)
    _refuse_differences(path, slices)
    _refuse_several(path, slices)
    normal = slices[0].axes[2]
    slices = sorted(slices, key=lambda image: float(normal @ image.position))
    if len(slices) == 1:
        return slices, []
    positions = np.stack([image.position for image in slices])
    offsets = positions - positions[0]
    along = offsets @ normal
    in_tenths = np.allclose(positions * 10, np.rint(positions * 10), atol=1e-6)
    _refuse_copies(path, slices, along)
    uneven = _refuse_gaps(path, slices, along, in_tenths)
    sideways = np.linalg.norm(offsets - along[:, None] * normal, axis=1)
    _refuse_shifts(path, slices, along, sideways, 1.5 * TENTH if in_tenths else ROUNDING)
    return slices, [*uneven, *_doubts(slices, along[-1] / (len(slices) - 1))]


def _refuse_differences(path: str, slices: Sequence[Slice]) -> None:
    for keyword in COMMON:
        expected = slices[0].header.get(keyword)
        odd = [image for image in slices if _differ(expected, image.header.get(keyword))]
        if odd:
            found = f"it is {expected} in {slices[0].name}, {odd[0].header.get(keyword)} in {_names(odd)}"
            remedy = "remove what does not belong to the volume (such as a localizer)"
            raise CaseError(path, f"all slices must have the same {keyword}", found, remedy)


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, MultiValue) and isinstance(b, MultiValue):
        return not np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=COSINE, atol=COSINE)
    return (a or None) != (b or None)


def _refuse_several(path: str, slices: Sequence[Slice]) -> None:
    """Frames of several volumes, which may even lie side by side. What differs in each frame, as a time may, tells nothing."""
    for keyword, name in OF_A_VOLUME.items():
        values = [str(image.header[keyword].value) for image in slices if keyword in image.header]
        different = list(dict.fromkeys(values))
        if 1 < len(different) < len(values):
            some = ", ".join([*different[:4], *(["..."] if len(different) > 4 else [])])
            found = f"{keyword} has {len(different)} values ({some})"
            remedy = f"export each {name} as a series of its own, or convert it to NIfTI"
            raise CaseError(path, "frames must be one stack, time, echo and phase", found, remedy)


def _refuse_copies(path: str, slices: Sequence[Slice], along: np.ndarray) -> None:
    """along: mm from the first slice, ascending."""
    k = int(np.diff(along).argmin())
    if along[k + 1] - along[k] < ROUNDING / 20:
        pair = slices[k : k + 2]
        copies = len({(image.header.get("SOPInstanceUID"), image.frame) for image in pair}) == 1
        found = f"{_names(pair)} lie at the same place" + (" and are copies of one slice" if copies else "")
        remedy = "remove copies; give each of several times or echoes a folder"
        raise CaseError(path, "each slice must be there once", found, remedy)


def _refuse_gaps(path: str, slices: Sequence[Slice], along: np.ndarray, in_tenths: bool) -> list[Note]:
    """along: mm from the first slice, ascending. Notes steps that differ as much as rounding to tenths of mm explains."""
    steps = np.diff(along)
    step = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median: of two steps the longer one is the gap
    usual = max(STEP * step, ROUNDING)
    allowed = max(usual, min(TENTH, UNEVEN * step)) + 1e-6 if in_tenths else usual
    wrong = np.flatnonzero(np.abs(steps - step) > allowed)
    if wrong.size:
        k = int(wrong[0])
        missing = round(steps[k] / step) - 1
        found = f"{_names(slices[k : k + 2])} lie {steps[k]:.6g} mm apart, others {step:.6g} mm"
        found += f"; {missing} seem{'s' * (missing == 1)} to be missing there" if missing > 0 else ""
        found += f"; there are {wrong.size} such places" if wrong.size > 1 else ""
        raise CaseError(path, EVEN, found, "copy the whole series again, or resample it")
    beside = np.abs(along - np.linspace(0, along[-1], len(along)))
    if beside.max() > allowed:  # small differences that add up
        k = int(beside.argmax())
        found = f"{slices[k].name} lies {beside[k]:.3g} mm beside the place that even steps lead to"
        raise CaseError(path, EVEN, found, "resample the series")
    if np.abs(steps - step).max() <= usual:
        return []
    found = f"their distances are {steps.min():.3g} to {steps.max():.3g} mm, which is taken for rounding"
    return [Note(EVEN, found, corrected=False)]


def _doubts(slices: Sequence[Slice], step: float) -> list[Note]:
    """What makes slices on a regular grid look like those of several acquisitions. step: mm between slices."""
    for keyword in ONE_ACQUISITION:
        values = [str(image.header.get(keyword) or "") for image in slices]
        if len(set(values)) < len(values) and np.count_nonzero(_changes(values)) >= len(set(values)):
            found = f"slices of {len(set(values))} lie between each other, by their {keyword}"
            return [Note(ONE, found, corrected=False)]
    numbers = np.array([numbers_of(image.header, "InstanceNumber", 1) for image in slices if "InstanceNumber" in image.header])
    numbers = np.array([]) if numbers.dtype == object else numbers.flatten()
    runs = [n for n in range(1, MOST_RUNS + 1) if len(numbers) >= 3 * n and _are_runs(numbers, n)]
    if runs and runs[0] > 1 and len(numbers) == len(slices):
        found = f"their InstanceNumbers are those of {runs[0]} stacks of slices that lie between each other"
        return [Note(ONE, found, corrected=False)]
    said = numbers_of(slices[0].header, "SpacingBetweenSlices", 1)
    if said is not None and said[0] and abs(abs(said[0]) - step) > STEP * 10 * step:
        found = f"SpacingBetweenSlices is {said[0]:g} mm, the slices lie {step:.6g} mm apart"
        return [Note("the header should give one distance between slices", found, corrected=False)]
    return []


def _changes(values: Sequence[str]) -> list[bool]:
    return [a != b for a, b in pairwise(values)]


def _are_runs(numbers: np.ndarray, count: int) -> bool:
    """Whether every count-th of them rises, or every one falls."""
    rising = [np.diff(numbers[start::count]) > 0 for start in range(count)]
    return len(set(np.concatenate(rising).tolist())) == 1


def _refuse_shifts(path: str, slices: Sequence[Slice], along: np.ndarray, sideways: np.ndarray, rounding: float) -> None:
    """along, sideways: mm from the first slice."""
    beyond = sideways - (rounding + 2 * COSINE * along)
    k = int(beyond.argmax())
    if beyond[k] > 0:
        found = f"{slices[k].name} is shifted by {sideways[k]:.3g} mm in its plane against {slices[0].name}"
        remedy = "convert the series to NIfTI with correction of the gantry's tilt, or remove what does not belong to it"
        raise CaseError(path, "slices must lie straight behind each other", found, remedy)


def _names(slices: Sequence[Slice]) -> str:
    names = [image.name for image in slices]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"
