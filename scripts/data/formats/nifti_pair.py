"""A header .hdr -> whether it is NIfTI's, and the file .img beside it that holds its voxels."""

import os
from contextlib import suppress
from pathlib import Path

from nibabel.openers import ImageOpener

from ..cases.case_error import CaseError
from .data_file import file_beside

PAIRS = (".hdr.gz", ".hdr")  # whose voxels lie in a file .img.gz or .img
HEADERS = {348: slice(344, 348), 540: slice(4, 8)}  # bytes of a header, which begins with their number -> its format's name


def holder_of(file: str) -> str:
    """The .img of a .hdr of NIfTI. Any other nibabel would take for Analyze, and a file .mat beside it for Matlab's.

    Raises CaseError.
    """
    kind = _kind_of_header(file)
    if kind is None:
        raise CaseError(file, "the file must be whole, readable NIfTI", "it does not begin like it", "copy or export it again")
    if kind in (b"n+1", b"n+2"):
        found = "it says that its voxels follow it, as in one file .nii"
        raise CaseError(file, "a NIfTI header must say where its voxels lie", found, "export it again, or rename it")
    if kind not in (b"ni1", b"ni2"):
        found = "it is Analyze 7.5, which does not say which side is left: programs differ"
        remedy = "convert it to NIfTI with a program that knows how it was stored"
        raise CaseError(file, "a file .hdr must be the header of a NIfTI image", found, remedy)
    return file_beside(file, _name_beside(file))


def image_beside(header: str) -> str | None:
    """The .img of a .hdr; None where there is none, or none that may be read."""
    with suppress(CaseError, OSError):
        return file_beside(header, _name_beside(header))
    return None


def is_header(file: str) -> bool:
    """Whether a .hdr is that of an image, by an .img beside it or its first bytes: other programs have such headers, too.

    A link might lead anywhere and is not opened for that.
    """
    return image_beside(file) is not None or (
        os.path.isfile(file) and not os.path.islink(file) and _kind_of_header(file) is not None
    )


def _name_beside(header: str) -> str:
    """Where nibabel looks for the voxels of a .hdr: in capitals if it is."""
    name = Path(header).name
    suffix = next(name[-len(suffix) :] for suffix in PAIRS if name.lower().endswith(suffix))
    beside = suffix.lower().replace("hdr", "img")
    return name.removesuffix(suffix) + (beside.upper() if suffix.isupper() else beside)


def _kind_of_header(file: str) -> bytes | None:
    """What it calls its format, which in Analyze 7.5 is nothing; None if it is no such header."""
    with suppress(Exception), ImageOpener(file) as stream:  # of whatever lies there
        head = stream.read(max(HEADERS))
        size = next((size for order in ("little", "big") if (size := int.from_bytes(head[:4], order)) in HEADERS), None)
        return None if size is None else head[HEADERS[size]].rstrip(b"\0")
    return None
