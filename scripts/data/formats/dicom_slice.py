"""A DICOM file -> the header of a slice that can be placed and decoded, and its pixels, or an error that names the file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut
from pydicom.uid import UID, ImplicitVRLittleEndian, RLELossless

from ..cases.case_error import CaseError

logging.getLogger("pydicom").setLevel(logging.ERROR)  # it logs each of its warnings once more
sitk.ProcessObject.GlobalWarningDisplayOff()  # what ITK warns of names no file

SUFFIXES = (".dcm", ".ima")
# Whatever is in a file of this name, it is not one slice of many; it need not even be readable.
OTHERS = (".nii", ".nii.gz", ".nrrd", ".mha", ".txt", ".json", ".xml", ".csv", ".md", ".html", ".pdf", ".log", ".png", ".jpg")
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
TAGS = (
    *NUMBERS,
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "FrameOfReferenceUID",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "NumberOfFrames",
    "HighBit",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ModalityLUTSequence",
)
EXPORT = "export it again from the scanner or archive"
FILTERS = Lock()  # those of warnings are the process's, and cases are read in threads


class Slice(NamedTuple):
    """An image file and its header, without pixels."""

    file: Path
    header: Dataset

    @property
    def position(self) -> np.ndarray:
        """Centre of the first pixel: mm, to the patient's left, back and head."""
        return np.array([float(x) for x in self.header.ImagePositionPatient])

    @property
    def across(self) -> np.ndarray:
        """(2, 3): the directions along a row and along a column."""
        return np.reshape([float(x) for x in self.header.ImageOrientationPatient], (2, 3))


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


def open_slice(file: Path) -> Slice | None:
    """None: a DICOM object that is no image (segmentation, structure set, report, ...). `check_slice` says if it is usable."""
    with _reading(file):
        header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(TAGS))
        kind = _class_of(header)
        list(header)  # converts every value, which pydicom would do later and with warnings
        if _is_no_image(header):
            return None
    for keyword, value in (("SOPClassUID", kind), ("SeriesInstanceUID", header.get("SeriesInstanceUID"))):
        if not value:  # of a file that ends early, too
            raise CaseError(str(file), "must be a DICOM file", f"it has no {keyword}", "export it again or remove it")
    return Slice(file, header)


def other_class(file: Path) -> str | None:
    """The class of a DICOM object that is no image (segmentation, report, index of a disc); None if it may be an image."""
    with suppress(CaseError), _reading(file):
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
    if (header.get("NumberOfFrames") or 1) > 1:
        remedy = "convert it to NIfTI, or export it as one file for each slice"
        raise CaseError(file, "a DICOM file must hold one slice", f"it holds {header.NumberOfFrames} frames", remedy)
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
    if not np.allclose(image.across @ image.across.T, np.eye(2), atol=UNIT):
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


def read_pixels(file: str, shape: tuple[int, int]) -> np.ndarray:
    """(rows, columns) in the modality's unit, by the slice's own slope; raises CaseError when they are damaged.

    pydicom decodes what it can by itself, since ITK replaces missing pixels by zeros; ITK decodes JPEG and its relatives, since
    it catches the exceptions of GDCM, the library beneath, which end the process in the package that pydicom would use.
    """
    with _reading(Path(file)):
        dataset = dcmread(file, force=True)
        dataset.file_meta.setdefault("TransferSyntaxUID", ImplicitVRLittleEndian)  # the default of PS3.5 section 10.1
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_compressed and syntax != RLELossless:
            return _decoded_by_itk(file, syntax).reshape(shape)
        return apply_modality_lut(dataset.pixel_array, dataset).reshape(shape)


def _decoded_by_itk(file: str, syntax: UID) -> np.ndarray:
    file.encode("utf-8")  # other names end the process in ITK's Python layer, past any exception
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(sitk.sitkFloat64)  # scaled already
    reader.SetFileName(file)
    try:
        return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:  # its text tells of ITK only
        raise ValueError(f"pixels in {syntax.name} cannot be decoded") from error


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Whatever damaged bytes trigger becomes a CaseError."""
    try:
        with FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values: those that matter are checked here
            warnings.filterwarnings("error", message=".*end of file")
            warnings.filterwarnings("error", module=r"pydicom\.(pixels|encaps)")  # a decoder went on with damaged data
            warnings.filterwarnings("ignore", message=".*excess padding")
            yield
    except Exception as error:  # pydicom has many kinds
        found = f"reading it failed ({type(error).__name__}: {' '.join(str(error).split())})"
        remedy = "copy or export it again, uncompressed if its compression is not known here"
        raise CaseError(str(file), "the file must be whole, readable DICOM", found, remedy) from error
