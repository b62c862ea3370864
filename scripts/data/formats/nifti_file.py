"""A NIfTI file, or a pair of .hdr and .img -> its header, checked, and its voxels, read to the last byte."""

import gzip
import io
import logging
import math
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener

from ..cases.case_error import CaseError, first_line
from .image_file import ImageFile, Note
from .nifti_pair import PAIRS, holder_of
from .nifti_placement import place

SUFFIXES = (".nii.gz", ".nii", *PAIRS)
LATEST = 2**28  # bytes before the voxels: header and extensions
SURPLUS = 1024  # bytes that may follow the voxels of one file, since some writers fill blocks; more is no padding

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # what it repairs in headers is said by `place`, by name


class Due(NamedTuple):
    """What a header says of the file of its voxels. offset, itemsize: bytes; shape: as stored."""

    offset: int
    shape: tuple[int, ...]
    itemsize: int

    @property
    def size(self) -> int:
        return self.offset + math.prod(self.shape) * self.itemsize

    @property
    def across(self) -> list[int]:
        """Bytes of one step along each axis more."""
        return [math.prod(self.shape) // n * self.itemsize for n in self.shape]


def open_nifti(file: str) -> ImageFile:
    """Both versions, both byte orders, scaled or not. Raises CaseError."""
    suffix = next(file[-len(suffix) :] for suffix in SUFFIXES if file.lower().endswith(suffix))
    if suffix not in (suffix.lower(), suffix.upper()):  # nibabel would look for another file
        found = f"this one ends in {suffix}"
        raise CaseError(file, "a suffix must be in small letters, or in capitals", found, "rename the file")
    holder = holder_of(file) if suffix.lower() in PAIRS else file
    try:
        image = load_nifti(file)
        header = _as_stored(file, image)
        dtype, shape = header.get_data_dtype(), tuple(int(n) for n in header.get_data_shape())
    except Exception as error:  # nibabel raises many kinds
        raise _unreadable(file, error) from error
    if dtype.kind not in "iuf":
        raise CaseError(file, "a voxel must hold one real number", f"the data type is {dtype}", "export it as scalar image")
    grid, channels, notes = _grid(file, shape)
    notes += _check(file, header)
    due = Due(int(header["vox_offset"]), shape, dtype.itemsize)
    is_compressed = file.lower().endswith(".gz")
    if not is_compressed:
        _require_size(file, holder, Path(holder).stat().st_size, due)
    affine, more = place(file, header, shape)
    read = partial(_read, file, holder, (*grid, channels), due if is_compressed else None)
    files = tuple(dict.fromkeys((file, holder)))
    return ImageFile(file, grid, channels, dtype, affine, (*notes, *more), read, files)


def load_nifti(file: str | Path) -> nib.Nifti1Pair:
    """Both versions, in one file or two: to nibabel all are pairs. Raises TypeError for what else nibabel can load."""
    image = nib.load(file)
    if not isinstance(image, nib.Nifti1Pair):
        raise TypeError(f"it is {type(image).__name__}")
    return image


def _read(file: str, holder: str, shape: tuple[int, ...], compressed: Due | None) -> np.ndarray:
    """shape: (H, W, D, channels); compressed: what is due in a compressed file."""
    try:
        stored = load_nifti(file)
        if compressed is not None:
            voxels_at = nib.FileHolder(fileobj=io.BytesIO(_decompress(file, holder, compressed)))
            stored = type(stored).from_file_map({**stored.file_map, "image": voxels_at})
        with np.errstate(over="ignore"):  # what overflows becomes infinite, which is refused
            voxels = np.asanyarray(stored.dataobj).astype(np.float32)
        return np.moveaxis(voxels.reshape(shape), -1, 0)
    except CaseError:
        raise
    except Exception as error:  # whatever damaged bytes, or another file by now, trigger
        raise _unreadable(file, error) from error


def _as_stored(file: str, image: nib.Nifti1Pair) -> nib.Nifti1Header:
    """The header before nibabel's repairs."""
    with ImageOpener(file) as stream:
        return type(image.header).from_fileobj(stream, check=False)


def _check(file: str, header: nib.Nifti1Header) -> list[Note]:
    """What nibabel repairs, or takes as it is, although voxels would be read from elsewhere or with other values."""
    first = header.single_vox_offset if header.is_single else header.pair_vox_offset
    offset = float(header["vox_offset"])
    if not (first <= offset <= LATEST and offset.is_integer()):
        found, remedy = f"its header says byte {offset:g}", "copy or export it again"
        raise CaseError(file, f"the file must be whole, its voxels begin at a byte from {first} to {LATEST}", found, remedy)
    if header["sizeof_hdr"] != header.sizeof_hdr:
        found = f"its header says that it has {header['sizeof_hdr']} bytes, not {header.sizeof_hdr}"
        raise CaseError(file, "the file must be whole, readable NIfTI", found, "copy or export it again")
    if np.isinf(header["scl_slope"]):  # NaN and 0 mean that there is none
        found = f"the slope is {header['scl_slope']}"
        raise CaseError(file, "the scaling of intensities must be finite", found, "correct the header or export it again")
    bits, of_its_type = int(header["bitpix"]), header.get_data_dtype().itemsize * 8
    if bits != of_its_type:
        found = f"it says {bits} bits, its type {header.get_data_dtype()} has {of_its_type}; the type is taken"
        return [Note("the header should give one size of a voxel", found, corrected=False)]
    return []


def _grid(file: str, shape: tuple[int, ...]) -> tuple[tuple[int, int, int], int, list[Note]]:
    """(H, W, D), the number of channels, and a note on a single slice; trailing axes of length 1 mean nothing."""
    if not shape or min(shape) < 1:
        raise CaseError(file, "an image must have voxels", f"its shape is {shape}", "export it again")
    kept = list(shape)
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if len(kept) == 5 and kept[3] == 1:  # NIfTI's place for vectors is the fifth axis
        del kept[3]
    if len(kept) < 3 or len(kept) > 4:
        found = f"it has the shape {' x '.join(map(str, shape))}"
        raise CaseError(file, "an image must be a volume", found, "stack its slices, or split it into volumes")
    notes = [Note("a volume should have several slices", "it has one", corrected=False)] if min(kept[:3]) == 1 else []
    return (kept[0], kept[1], kept[2]), kept[3] if len(kept) == 4 else 1, notes


def _decompress(file: str, holder: str, due: Due) -> bytes:
    """All of `holder` that is due; the rest is read too, since the checksum stands at the end, but not kept."""
    try:
        with gzip.open(holder) as stream:
            data = stream.read(due.size)
            surplus = len(stream.read(SURPLUS + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _unreadable(file, error) from error
    _require_size(file, holder, len(data) + surplus, due)
    return data


def _require_size(file: str, holder: str, size: int, due: Due) -> None:
    """Rows or slices that are longer or more than the header says would come out sheared.

    One axis that is longer leaves over a multiple of what lies across it: that is never taken for padding, however small.
    """
    it, surplus = "it" if holder == file else Path(holder).name, size - due.size
    if surplus < 0:
        found = f"{it} has {size} bytes, its header needs {due.size}"
        raise CaseError(file, "the file must be whole", found, "copy or export it again")
    if surplus and (holder != file or surplus > SURPLUS or not all(surplus % across for across in due.across)):
        found = f"{surplus} bytes or more follow {'its voxels' if holder == file else f'the voxels in {it}'}"
        raise CaseError(file, "a file must hold what its header says", found, "export it again")


def _unreadable(file: str, error: Exception) -> CaseError:
    rule, remedy = "the file must be whole, readable NIfTI", "copy or export it again"
    return CaseError(file, rule, f"reading it failed ({first_line(error)})", remedy)
