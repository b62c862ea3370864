"""An NRRD or MetaImage file -> its header, checked, and its voxels."""

import math
import os
import re
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..cases.case_error import CaseError, first_line
from .data_file import notes_on_name
from .image_file import ImageFile, Note
from .itk_header import NRRD, RAW, SYNTAX, TEXT, Stored, where_voxels_lie

READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".nhdr": "NrrdImageIO", ".mhd": "MetaImageIO"}
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's axes point to the left and the back

sitk.ProcessObject.GlobalWarningDisplayOff()  # what ITK warns of names no file


def open_itk(file: str) -> ImageFile:
    """Raises CaseError, also for a header that leads to voxels elsewhere than beside it: that could be any file."""
    require_utf8(file)
    stored = where_voxels_lie(file)
    reader = _reader(file)
    try:
        reader.ReadImageInformation()
    except Exception as error:  # ITK raises RuntimeError for everything
        raise _unreadable(file, error) from error
    size, channels = reader.GetSize(), reader.GetNumberOfComponents()
    if reader.GetDimension() == 4:  # volumes one after the other
        channels *= size[3]
    elif reader.GetDimension() != 3:
        found = f"it has the shape {' x '.join(map(str, size))}"
        raise CaseError(file, "an image must be a volume", found, "stack its slices, or split it into volumes")
    if min(size) < 1:
        raise CaseError(file, "an image must have voxels", f"its shape is {size}", "export it again")
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in kind or "label" in kind:
        raise CaseError(file, "a voxel must hold one real number", f"it holds a {kind}", "export it as scalar image")
    most = channels * math.prod(size[:3]) * int(re.findall(r"(\d+)-bit", kind)[0]) // 8
    _check_size(file, stored, most)
    notes = [] if stored.file == file else notes_on_name(file, stored.file)
    if min(size[:3]) == 1:
        notes.append(Note("a volume should have several slices", "it has one", corrected=False))
    space = reader.GetMetaData("NRRD_space") if reader.HasMetaDataKey("NRRD_space") else "none"
    if SYNTAX[Path(file).suffix.lower()] is NRRD and not re.fullmatch(
        r"(left|right)-(anterior|posterior)-superior(-time)?", space
    ):
        found = f"its space is {space}; x to the left, y to the back, z up are taken"
        notes.append(Note("the header should say how the patient lies", found, corrected=False))
    read = partial(_read, file, stored, most, (channels, *size[:3]), reader.GetNumberOfComponents() > 1)
    files = tuple(dict.fromkeys((file, stored.file)))
    return ImageFile(file, size[:3], channels, np.dtype(np.float32), _affine(reader), tuple(notes), read, files)


def itk_place(file: str | Path, image_io: str = "") -> tuple[tuple[int, ...], np.ndarray]:
    """(H, W, D) and the affine (RAS+, mm) as ITK reads them now. Raises RuntimeError where ITK cannot place its voxels."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io or READERS[Path(file).suffix.lower()])
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    return reader.GetSize()[:3], _affine(reader)


def _reader(file: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[Path(file).suffix.lower()])
    reader.SetFileName(file)
    return reader


def _read(file: str, stored: Stored, needed: int, shape: tuple[int, ...], has_vectors: bool) -> np.ndarray:
    """needed: bytes of voxels; shape: (channels, H, W, D); has_vectors: channels lie beside each other in the file."""
    _check_stream(file, stored, needed)
    try:
        voxels = sitk.GetArrayFromImage(_reader(file).Execute()).astype(np.float32)
        volumes = np.moveaxis(voxels, -1, 0) if has_vectors else voxels
        return volumes.reshape(shape[0], *shape[:0:-1]).transpose(0, 3, 2, 1)
    except Exception as error:  # ITK's, and of another file by now
        raise _unreadable(file, error) from error


def require_utf8(file: str) -> None:
    """Other names end the process in ITK's Python layer, past any exception."""
    try:
        file.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CaseError(file, "the path of a file of this kind must be UTF-8", "it is not", "rename it") from error


def _affine(reader: sitk.ImageFileReader) -> np.ndarray:
    dimension = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return TO_RAS @ affine


def _check_size(file: str, stored: Stored, needed: int) -> None:
    """needed: bytes of voxels. What is left over means that they lie elsewhere, or are more than the header says."""
    size, due = Path(stored.file).stat().st_size, stored.header + (stored.skip or 0) + needed
    found = f"{_it(file, stored)} has {size} bytes, its header needs {due}"
    if stored.kind == RAW and size < due:
        raise CaseError(file, "the file must be whole", found, "copy or export it again")
    if stored.kind == RAW and size > due and stored.skip is not None:
        raise CaseError(file, "a file must hold what its header says", found, "export it again")


def _check_stream(file: str, stored: Stored, needed: int) -> None:
    """ITK looks neither at the checksum of compressed voxels nor at their number, and fills up with what is in memory.

    needed: bytes of voxels by the header.
    """
    start, kind, size = stored.header, stored.kind, stored.compressed
    if kind in (RAW, TEXT):
        return
    stream, count = zlib.decompressobj(wbits=zlib.MAX_WBITS | (16 if kind == "gzip" else 0)), 0
    try:
        with open(stored.file, "rb") as source:
            source.seek(start)
            while not stream.eof and (part := source.read(2**20)):
                while part and not stream.eof and count <= needed:
                    count += len(stream.decompress(part, 2**24))  # in pieces: a small file may hold very much
                    part = stream.unconsumed_tail
            length = source.tell() - start - len(stream.unused_data)
            surplus = source.seek(0, os.SEEK_END) - start - length
    except zlib.error as error:
        raise _unreadable(file, error) from error
    if count != needed or not stream.eof:
        held = f"more than {needed}" if count > needed else str(count)
        found = f"the compressed voxels of {_it(file, stored)} are {held} bytes, its header needs {needed}"
        raise CaseError(file, "the file must be whole", found, "copy or export it again")
    if kind == "zlib" and size != length and (size or stored.file == file):  # a second file has its length
        found = f"its CompressedDataSize is {size or 'missing'}, there are {length} bytes"
        raise CaseError(file, "the file must be whole", found, "export it again")
    if surplus:
        found = f"{surplus} bytes follow the compressed voxels of {_it(file, stored)}"
        raise CaseError(file, "a file must hold what its header says", found, "export it again")


def _it(file: str, stored: Stored) -> str:
    return "it" if stored.file == file else Path(stored.file).name


def _unreadable(file: str, error: Exception) -> CaseError:
    rule, remedy = f"the file must be whole, readable {Path(file).suffix}", "copy or export it again"
    text = re.sub(r"\(0x[0-9a-f]+\)", "", str(error))  # addresses in memory
    lines = [line.strip() for line in text.splitlines() if "ERROR" in line or "itk" in line]
    return CaseError(file, rule, f"reading it failed ({lines[-1] if lines else first_line(error)})", remedy)
