"""The header of a DICOM file -> its slices: one, or each of its frames with a header of its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag

from ..cases.case_error import CaseError
from .dicom_slice import NUMBERS, OF_A_VOLUME, Slice, numbers_of, open_header

GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
OF_A_FRAME = (  # what may stand in a functional group
    *NUMBERS,
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "TemporalPositionIdentifier",
    *OF_A_VOLUME,
)
THROUGH_SPACE = ("SliceVector", "SliceLocationVector", "GridFrameOffsetVector")  # what frames follow each other by
RULE, REMEDY = "every frame must say where it lies", "convert it to NIfTI, or export it as one file for each slice"


def open_slices(file: Path) -> list[Slice]:
    """None in a file that is no image. Raises CaseError, also for frames that are not told to be slices, such as times."""
    header = open_header(file)
    if header is None:
        return []
    count = int(header.get("NumberOfFrames") or 1)
    if header.get(GROUPS[1]):
        return list(_from_groups(file, header, count))
    return [Slice(file, header)] if count == 1 else list(_one_behind_the_other(file, header, count))


def _from_groups(file: Path, header: Dataset, count: int) -> Iterator[Slice]:
    """Enhanced CT, MR and PET: what all frames share, and what each has."""
    shared, each = (header.get(keyword) or [] for keyword in GROUPS)
    if len(each) != count:
        raise CaseError(str(file), RULE, f"it has {count} frames and {len(each)} of their headers", REMEDY)
    common = Dataset()
    common.update({element.tag: element for element in header if element.VR != "SQ"})
    common.NumberOfFrames = 1
    for group in shared[:1]:
        _lay_over(common, group)
    for k, group in enumerate(each):
        frame = _copy(common)
        _lay_over(frame, group)
        yield Slice(file, frame, k)


def _copy(header: Dataset) -> Dataset:
    """Python's own copy would share its elements."""
    copied = Dataset()
    copied.update(header)
    return copied


def _lay_over(frame: Dataset, group: Dataset) -> None:
    for element in group:
        for item in element.value[:1] if element.VR == "SQ" else ():
            frame.update({item[keyword].tag: item[keyword] for keyword in OF_A_FRAME if keyword in item})


def _one_behind_the_other(file: Path, header: Dataset, count: int) -> Iterator[Slice]:
    """The older kinds: the place of the first frame, and the distance between two, which is below 0 against the normal."""
    first = _copy(header)
    for detector in header.get("DetectorInformationSequence") or []:
        first.update({detector[keyword].tag: detector[keyword] for keyword in NUMBERS if keyword in detector})
    step = numbers_of(first, "SpacingBetweenSlices", 1)
    pointers = header.get("FrameIncrementPointer") or []
    by_space = all(Tag(pointer) in map(Tag, THROUGH_SPACE) for pointer in np.atleast_1d(pointers).tolist())
    places = all(numbers_of(first, keyword, NUMBERS[keyword]) is not None for keyword in list(NUMBERS)[:2])
    if step is None or not step[0] or not by_space or not places:
        found = f"it holds {count} frames without a place or a distance between them"
        raise CaseError(str(file), RULE, found if by_space else f"its {count} frames do not follow each other in space", REMEDY)
    for k in range(count):
        frame, image = _copy(first), Slice(file, first, k)
        place = [f"{x:.10g}" for x in image.position + k * step[0] * image.axes[2]]
        frame.add_new("ImagePositionPatient", "DS", place)  # by its name it would become that of all frames
        yield Slice(file, frame, k)
