"""An NRRD or MetaImage file -> its header, checked, and its voxels."""

import math
import re
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..cases.case_error import CaseError, first_line
from .image_file import ImageFile, Note

READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO"}
RAW, TEXT = "raw", "text"  # how voxels are stored; else gzip or zlib
HEADER = 2**24  # bytes in which a header ends: those of Slicer list every segment
EXPORT_IN_MM = "export it again in mm"
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's axes point to the left and the back

sitk.ProcessObject.GlobalWarningDisplayOff()  # what ITK warns of names no file


class Stored(NamedTuple):
    """Where and how voxels lie in a file.

    header: its bytes. skip: how many more come before the voxels; None if these are the last bytes, however many come before.
    compressed: bytes, 0 where the header does not say it.
    """

    header: int
    skip: int | None
    kind: str
    compressed: int


def open_itk(file: str) -> ImageFile:
    """Raises CaseError, also for a header that points to voxels in another file: that could be any file."""
    suffix = Path(file).suffix.lower()
    require_utf8(file)
    stored = _stored(file, suffix)
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
    notes = [Note("a volume should have several slices", "it has one", corrected=False)] if min(size[:3]) == 1 else []
    space = reader.GetMetaData("NRRD_space") if reader.HasMetaDataKey("NRRD_space") else "none"
    if suffix == ".nrrd" and not re.fullmatch(r"(left|right)-(anterior|posterior)-superior(-time)?", space):
        found = f"its space is {space}; x to the left, y to the back, z up are taken"
        notes.append(Note("the header should say how the patient lies", found, corrected=False))
    read = partial(_read, file, stored, most, (channels, *size[:3]), reader.GetNumberOfComponents() > 1)
    return ImageFile(file, size[:3], channels, np.dtype(np.float32), _affine(reader), tuple(notes), read, (file,))


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


def _stored(file: str, suffix: str) -> Stored:
    """From the text at the beginning of the file.

    A header that ITK might read otherwise than it is read here is refused: what it hides could be the name of another file.
    """
    with open(file, "rb") as stream:
        text = stream.read(HEADER)
    magic, line, end, elsewhere, compressed = {
        ".nrrd": (
            rb"NRRD000\d\r?\n",
            rb"[^\r\n]+\r?\n",
            rb"\r?\n",
            rb"(?im)^\s*data ?file\s*:",
            rb"(?im)^encoding\s*:\s*(gz|gzip)\s*$",
        ),
        ".mha": (
            rb"ObjectType[ \t]*=",
            rb"(?!\s*ElementDataFile)[^\r\n=:]+[=:][^\r\n]*\r?\n",
            rb"ElementDataFile[ \t]*[=:][^\r\n]*\r?\n",
            rb"ElementDataFile[ \t]*[=:][ \t]*(?!LOCAL\s)\S",
            rb"(?m)^CompressedData[ \t]*=[ \t]*[Tt1]",
        ),
    }[suffix]
    whole = re.match(rb"(?:" + line + rb")*+" + end, text)
    if not re.match(magic, text) or not whole:
        found = "it does not begin like one" if text else "it is empty"
        raise CaseError(file, f"the file must be whole, readable {suffix}", found, "copy or export it again")
    header = whole[0]
    if re.search(elsewhere, header):
        found = "its header points to another file"
        raise CaseError(file, "an image must be one file", found, "export it with its voxels inside, or as NIfTI")
    if re.search(rb"(?im)^encoding\s*:\s*(bz2|bzip2)\s*$", header):
        raise CaseError(file, "voxels must be raw or compressed by gzip", "they are compressed by bzip2", "export it again")
    units = re.search(rb"(?im)^space units\s*:(.*)$", header)
    if units and set(re.findall(rb'"([^"]*)"', units[1].lower())) - {b"mm", b"millimeter", b"millimeters", b""}:
        found = f"its space units are {units[1].decode(errors='replace').strip()}"
        raise CaseError(file, "lengths must be in mm", found, EXPORT_IN_MM)
    kind = TEXT if re.search(rb"(?im)^(encoding\s*:\s*(txt|text|ascii|hex)|BinaryData\s*=\s*[^Tt1\s]\w*)\s*$", header) else RAW
    if re.search(compressed, header):
        kind = {".nrrd": "gzip", ".mha": "zlib"}[suffix]
    away = re.findall(rb"(?m)^\s*DistanceUnits\s*[=:]\s*(\S+)", header)
    if set(away) - {b"mm", b"?"}:
        raise CaseError(
            file, "lengths must be in mm", f"its DistanceUnits are {away[0].decode(errors='replace')}", EXPORT_IN_MM
        )
    size = re.search(rb"(?m)^CompressedDataSize[ \t]*=[ \t]*(\d+)\s*$", header)
    return Stored(len(header), _skipped(file, suffix, header, kind), kind, int(size[1]) if size else 0)


def _skipped(file: str, suffix: str, header: bytes, kind: str) -> int | None:
    """-1 means in both formats that the voxels are at the end; else a MetaImage counts from the beginning of the file."""
    field = {".nrrd": rb"(?im)^byte ?skip\s*:\s*(\S+)\s*$", ".mha": rb"(?m)^\s*HeaderSize\s*[=:]\s*(\S+)\s*$"}[suffix]
    skips = re.findall(field, header)
    if skips in ([], [b"0"]):
        return 0
    if len(skips) == 1 and kind == RAW and re.fullmatch(rb"-1|\d+", skips[0]):
        skip = int(skips[0]) - (len(header) if suffix == ".mha" else 0)
        if skips[0] == b"-1" or skip >= 0:
            return None if skips[0] == b"-1" else skip
    found = f"its header skips {b', '.join(skips).decode(errors='replace')} bytes, which leads into the header or a stream"
    raise CaseError(file, "voxels must begin after the header", found, "export it again")


def _check_size(file: str, stored: Stored, needed: int) -> None:
    """needed: bytes of voxels. What is left over means that they lie elsewhere, or are more than the header says."""
    size, due = Path(file).stat().st_size, stored.header + (stored.skip or 0) + needed
    if stored.kind == RAW and size < due:
        raise CaseError(
            file, "the file must be whole", f"it has {size} bytes, its header needs {due}", "copy or export it again"
        )
    if stored.kind == RAW and size > due and stored.skip is not None:
        found = f"it has {size} bytes, its header needs {due}"
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
        with open(file, "rb") as source:
            source.seek(start)
            while not stream.eof and (part := source.read(2**20)):
                while part and not stream.eof and count <= needed:
                    count += len(stream.decompress(part, 2**24))  # in pieces: a small file may hold very much
                    part = stream.unconsumed_tail
            length = source.tell() - start - len(stream.unused_data)
    except zlib.error as error:
        raise _unreadable(file, error) from error
    if count != needed or not stream.eof:
        held = f"more than {needed}" if count > needed else str(count)
        found = f"its compressed voxels are {held} bytes, its header needs {needed}"
        raise CaseError(file, "the file must be whole", found, "copy or export it again")
    if kind == "zlib" and size != length:
        found = f"its CompressedDataSize is {size or 'missing'}, there are {length} bytes"
        raise CaseError(file, "the file must be whole", found, "export it again")


def _unreadable(file: str, error: Exception) -> CaseError:
    rule, remedy = f"the file must be whole, readable {Path(file).suffix}", "copy or export it again"
    text = re.sub(r"\(0x[0-9a-f]+\)", "", str(error))  # addresses in memory
    lines = [line.strip() for line in text.splitlines() if "ERROR" in line or "itk" in line]
    return CaseError(file, rule, f"reading it failed ({lines[-1] if lines else first_line(error)})", remedy)
