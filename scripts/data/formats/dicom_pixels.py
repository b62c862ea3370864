"""A DICOM file -> its frames as they are stored, and what makes values of them."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage, generate_uid

from ..cases.case_error import CaseError
from .dicom_slice import EXPORT, NUMBERS, Slice, numbers_of, reading
from .frame_decoder import FrameDecoder

DECODED = (*NUMBERS, "SamplesPerPixel", "PhotometricInterpretation", "HighBit")  # what a decoder has to know
JPEG_LS = rb"\xff\xd8.*?\xff\xf7...(..)(..)"  # its rows and columns


class Pixels(NamedTuple):
    """Where the pixels of a slice are stored, and what makes values of them.

    padding: the lowest and the highest number that stands for no value, where there is one.
    """

    file: str
    frame: int
    slope: float
    intercept: float
    padding: tuple[int, int] | None


def pixels_of(image: Slice) -> Pixels:
    """Raises CaseError for a slope or an intercept that is no number; of the one that is missing nothing comes."""
    header, scale = image.header, {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    for keyword in scale:
        if header.get(keyword) not in (None, ""):
            if (numbers := numbers_of(header, keyword, 1)) is None:
                rule, found = "a slope and an intercept must scale its pixels", f"{keyword} is {header[keyword].value}"
                raise CaseError(str(image.file), rule, found, EXPORT)
            scale[keyword] = float(numbers[0])
    ends = [numbers_of(header, keyword, 1) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    padding = None
    if ends[0] is not None:  # in the type of the pixels: its own is often the other of signed and unsigned
        numbers = [int(end[0]) for end in ends if end is not None]
        stored = np.array(numbers).astype(f"{'i' if header.PixelRepresentation else 'u'}{header.BitsAllocated // 8}")
        padding = int(stored.min()), int(stored.max())
    return Pixels(str(image.file), image.frame, scale["RescaleSlope"], scale["RescaleIntercept"], padding)


def read_frames(file: str, decoder: FrameDecoder) -> np.ndarray:
    """(frames, rows, columns) as they are stored; raises CaseError when they are damaged or not as many as the header says.

    pydicom decodes what it can by itself, in Python, where nothing worse than an exception can happen; `decoder` does the rest.
    """
    with reading(Path(file)):
        dataset = dcmread(file, force=True)
        dataset.file_meta.setdefault("TransferSyntaxUID", ImplicitVRLittleEndian)  # the default of PS3.5 section 10.1
        syntax, frames = dataset.file_meta.TransferSyntaxUID, int(dataset.get("NumberOfFrames") or 1)
        shape = (frames, dataset.Rows, dataset.Columns)
        if not syntax.is_compressed:
            needed, held = int(np.prod(shape)) * dataset.BitsAllocated // 8, len(dataset.PixelData)
            if held > needed + needed % 2:
                found = f"there are {held} bytes, {frames} x {dataset.Rows} rows x {dataset.Columns} columns need {needed}"
                raise CaseError(file, "pixel data must be as long as its header says", found, EXPORT)
        elif syntax != RLELossless:
            return _decoded(dataset, shape, decoder)
        return dataset.pixel_array.reshape(shape)


def _decoded(dataset: Dataset, shape: tuple[int, int, int], decoder: FrameDecoder) -> np.ndarray:
    """Each frame by itself and without a slope, which GDCM would take from another place in each kind of file."""
    from pydicom.encaps import generate_frames  # of pydicom 3; programs that brought 2 still read NIfTI through this module

    syntax, frames = dataset.file_meta.TransferSyntaxUID, np.empty(shape)
    single = Dataset()
    for keyword in DECODED:
        if keyword in dataset:
            single[keyword] = dataset[keyword]
    single.SOPClassUID, single.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    single.file_meta = FileMetaDataset()
    single.file_meta.TransferSyntaxUID = syntax
    for k, stream in zip(range(shape[0]), generate_frames(dataset.PixelData, number_of_frames=shape[0]), strict=True):
        single.PixelData = encapsulate([stream])
        single["PixelData"].is_undefined_length = True
        try:
            decoded = decoder.decode(single)
        except ValueError as error:
            raise ValueError(f"frame {k + 1} has pixels in {syntax.name}; {error}") from error
        said = re.match(JPEG_LS, stream, re.DOTALL)  # GDCM cuts what is too large
        size = tuple(map(int.from_bytes, said.groups())) if said else decoded.shape
        if decoded.shape != shape[1:] or size != shape[1:]:
            raise ValueError(f"{size} pixels are compressed, the header says {shape[1:]}")
        frames[k] = decoded
    return frames
