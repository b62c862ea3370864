"""A DICOM file -> the header of a slice that can be placed and decoded, or an error that names the file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from pydicom.uid import UID

from ..cases.case_error import CaseError

logging.getLogger("pydicom").setLevel(logging.ERROR)  # it logs each of its warnings once more

SUFFIXES = (".dcm", ".ima")
# Whatever is in a file of this name, it is not one slice of many; it need not even be readable.
OTHERS = (
    *(".nii", ".nii.gz", ".hdr", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd"),
    *(".txt", ".json", ".xml", ".csv", ".md", ".html", ".pdf", ".log", ".png", ".jpg"),
)
UNIT = 1e-3  # headers give direction cosines in four digits or more
NUMBERS = {  # what places and decodes a slice, and how many numbers it is
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    "Rows": 1,
    "Columns": 1,
    "BitsAllocated": 1,
    "BitsStored": 1,
    "PixelRepresentation": 1,
}
OF_A_VOLUME = {  # what is one in all frames of a volume, and what it is called
    "StackID": "stack",
    "TemporalPositionIndex": "time",
    "TemporalPositionTimeOffset": "time",
    "EffectiveEchoTime": "echo",
    "NominalPercentageOfCardiacPhase": "phase of the heart",
    "NominalCardiacTriggerDelayTime": "phase of the heart",
    "NominalPercentageOfRespiratoryPhase": "phase of breathing",
    "DiffusionBValue": "b-value",
    "ComplexImageComponent": "component of the signal",
}
MOSAIC = Tag(0x0019100A)  # Siemens' number of images in one
TAGS = (
    *NUMBERS,
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "StudyInstanceUID",
    "PatientID",
    "PatientName",
    "Modality",
    "FrameOfReferenceUID",
    "ImageType",
    "InstanceNumber",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "EchoNumbers",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "NumberOfFrames",
    "FrameIncrementPointer",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DetectorInformationSequence",
    "HighBit",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    MOSAIC,
)
EXPORT = "export it again from the scanner or archive"
FILTERS = Lock()  # those of warnings are the process's, and cases are read in threads


class Slice(NamedTuple):
    """An image in a file, whose `frame` it is, and its header, without pixels."""

    file: Path
    header: Dataset
    frame: int = 0

    @property
    def name(self) -> str:
        return f"{self.file.name}, frame {self.frame + 1}" if self.frame else self.file.name

    @property
    def position(self) -> np.ndarray:
        """Centre of the first pixel: mm, to the patient's left, back and head."""
        return np.array([float(x) for x in self.header.ImagePositionPatient])

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): the directions along a row, along a column and of the normal, at right angles as ITK makes them."""
        row, column = np.reshape([float(x) for x in self.header.ImageOrientationPatient], (2, 3))
        normal = np.cross(row, column)
        normal /= np.linalg.norm(normal)
        row = np.cross(column, normal)
        return np.stack([row, np.cross(normal, row), normal])


def is_dicom(file: Path) -> bool:
    """By its suffix or its first bytes; an index (DICOMDIR) is none. Raises OSError for a file that may not be read."""
    if file.name.upper() == "DICOMDIR" or file.name.lower().endswith(OTHERS):
        return False
    if file.suffix.lower() in SUFFIXES:
        return True
    with file.open("rb") as stream:
        head = stream.read(132)
    # Without the preamble a file starts with an element of group 2 or 8, the number of which is below 256.
    return head[128:] == b"DICM" or (head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0")


def open_header(file: Path) -> Dataset | None:
    """None: a DICOM object that is no image (segmentation, structure set, report, ...). `check_slice` says if it is usable."""
    with reading(file):
        header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=[Tag(tag) for tag in TAGS])
        kind = _class_of(header)
        list(header.iterall())  # converts every value, which pydicom would do later and with warnings
        if _is_no_image(header):
            return None
    if not kind:
        raise CaseError(str(file), "must be a DICOM file", "it has no SOPClassUID", "export it again or remove it")
    if not header.get("SeriesInstanceUID") and "Rows" not in header:  # it ends early
        raise CaseError(str(file), "must be a DICOM file", "it has no SeriesInstanceUID", "export it again or remove it")
    return header


def other_class(file: Path) -> str | None:
    """The class of a DICOM object that is no image (segmentation, report, index of a disc); None if it may be an image."""
    with suppress(CaseError), reading(file):
        tags = ["SOPClassUID", "SeriesInstanceUID"]
        header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=tags)
        return UID(_class_of(header)).name if _is_no_image(header) else None
    return None


def _class_of(header: Dataset) -> str:
    return header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""


def _is_no_image(header: Dataset) -> bool:
    """An index has no series; what the standard does not know, and has none either, may have been cut off."""
    kind = UID(_class_of(header))
    named = kind.name != kind or header.get("SeriesInstanceUID")
    return bool(kind and named) and "Image Storage" not in kind.name  # the standard calls the classes of images so


def check_slice(image: Slice) -> None:
    """Raises CaseError unless it is one image of grey values with a place and a size."""
    file, header = str(image.file), image.header
    if MOSAIC in header or "MOSAIC" in (header.get("ImageType") or ()):
        found = "many lie side by side in it (a mosaic)"
        raise CaseError(file, "an image must show one slice", found, "convert the series to NIfTI, as dcm2niix does")
    samples, interpretation = header.get("SamplesPerPixel", 1), header.get("PhotometricInterpretation")
    if samples != 1 or interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        found = f"it has {samples} samples per pixel, PhotometricInterpretation {interpretation}"
        raise CaseError(file, "a pixel must be one grey value", found, "choose the original series")
    if "ModalityLUTSequence" in header:
        found = "it has a table instead (ModalityLUTSequence)"
        raise CaseError(file, "a slope and an intercept must scale its pixels", found, "convert the series to NIfTI")
    for keyword, count in NUMBERS.items():
        if numbers_of(header, keyword, count) is None:
            found = f"{keyword} is missing or not {count} finite {'number' if count == 1 else 'numbers'}"
            raise CaseError(file, "a slice must say where it lies and how it is stored", found, EXPORT)
    if min(header.Rows, header.Columns, *header.PixelSpacing) <= 0:
        found = f"{header.Rows} rows, {header.Columns} columns, PixelSpacing {header.PixelSpacing}"
        raise CaseError(file, "a slice must have a size", found, EXPORT)
    across = np.reshape([float(x) for x in header.ImageOrientationPatient], (2, 3))
    if not np.allclose(across @ across.T, np.eye(2), atol=UNIT):
        found = f"ImageOrientationPatient is {header.ImageOrientationPatient}"
        raise CaseError(file, "rows and columns must be perpendicular unit vectors", found, EXPORT)
    allocated, stored = header.BitsAllocated, header.BitsStored
    highest = header.get("HighBit", stored - 1)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated or highest != stored - 1:
        found = f"{stored} bits of {allocated}, the highest is {highest}"
        raise CaseError(file, "the lowest bits of 8, 16 or 32 must hold a pixel", found, "convert the series to NIfTI")


def numbers_of(header: Dataset, keyword: str, count: int) -> np.ndarray | None:
    """(count,), or None where the element does not hold that many finite numbers."""
    try:
        numbers = np.asarray(header[keyword].value, dtype=float).reshape(-1)
    except (KeyError, TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Whatever damaged bytes trigger becomes a CaseError."""
    try:
        with FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values: those that matter are checked here
            warnings.filterwarnings("error", message=".*end of file")
            warnings.filterwarnings("error", module=r"pydicom\.(pixels|encaps)")  # a decoder went on with damaged data
            yield
    except CaseError:
        raise
    except Exception as error:  # pydicom has many kinds
        found = f"reading it failed ({type(error).__name__}: {' '.join(str(error).split())})"
        remedy = "copy or export it again, uncompressed if its compression is not known here"
        raise CaseError(str(file), "the file must be whole, readable DICOM", found, remedy) from error
