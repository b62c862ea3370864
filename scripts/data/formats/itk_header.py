"""The text at the beginning of an NRRD or MetaImage file -> where and how its voxels lie, perhaps in a second file."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..cases.case_error import CaseError
from .data_file import named_file

RAW, TEXT = "raw", "text"  # how voxels are stored; else gzip or zlib
HEADER = 2**24  # bytes in which a header ends: those of Slicer list every segment
EXPORT_IN_MM = "export it again in mm"
IN_TWO_FILES = (".nhdr", ".mhd")  # only these may name a second file


class Stored(NamedTuple):
    """Where and how voxels lie.

    file: that holds them. header: its bytes there, 0 in a second file. skip: how many more come before the voxels; None if
    these are the last bytes, however many come before. compressed: bytes, 0 where the header does not say it.
    """

    file: str
    header: int
    skip: int | None
    kind: str
    compressed: int


class _Syntax(NamedTuple):
    """Of one format, as patterns of bytes. pointer: its group is the name of a second file; named: any sign of such a name."""

    magic: bytes
    line: bytes
    end: bytes
    named: bytes
    pointer: bytes
    packed: bytes
    packing: str
    skip: bytes


NRRD = _Syntax(
    magic=rb"NRRD000\d\r?\n",
    line=rb"[^\r\n]+\r?\n",
    end=rb"(?:\r?\n|\Z)",
    named=rb"(?im)^\s*data ?file\s*:",
    pointer=rb"(?im)^data ?file:[ \t]*([^\r\n]+)\r?$",
    packed=rb"(?im)^encoding\s*:\s*(gz|gzip)\s*$",
    packing="gzip",
    skip=rb"(?im)^byte ?skip\s*:\s*(\S+)\s*$",
)
META = _Syntax(
    magic=rb"ObjectType[ \t]*=",
    # ITK passes over further separators before a value, and then finds another one than stands there.
    line=rb"(?!\s*ElementDataFile)[^\r\n=:]+[=:](?!\s*[=:])[^\r\n]*\r?\n",
    end=rb"ElementDataFile[ \t]*[=:](?!\s*[=:])[^\r\n]*(?:\r?\n|\Z)",
    named=rb"ElementDataFile[ \t]*[=:][ \t]*(?!LOCAL(?:\s|\Z))\S",
    pointer=rb"(?m)^ElementDataFile[ \t]*=[ \t]*(\S(?:[^\r\n]*\S)?)[ \t]*\r?$",
    packed=rb"(?m)^\s*CompressedData\s*[=:]\s*[Tt1]",
    packing="zlib",
    skip=rb"(?m)^\s*HeaderSize\s*[=:]\s*(\S+)\s*$",
)
# Of an NRRD header that ends with its file, what places the voxels comes before the name of theirs: a cut one would lack some.
UNCUT = rb"(?i)\n(?:\r?\n|data ?file:[^\r\n]*\r?\n(?:(?:#|[^:\r\n]+:=)[^\r\n]*\r?\n)*)\Z"
SYNTAX = {".nrrd": NRRD, ".nhdr": NRRD, ".mha": META, ".mhd": META}


def where_voxels_lie(file: str) -> Stored:
    """Raises CaseError.

    A header that ITK might read otherwise than it is read here is refused: what it hides could be the name of another file.
    """
    syntax = _syntax(file)
    header = _header(file)
    holder = _holder(file, header)
    if re.search(rb"(?im)^encoding\s*:\s*(bz2|bzip2)\s*$", header):
        raise CaseError(file, "voxels must be raw or compressed by gzip", "they are compressed by bzip2", "export it again")
    units = re.search(rb"(?im)^space units\s*:(.*)$", header)
    if units and set(re.findall(rb'"([^"]*)"', units[1].lower())) - {b"mm", b"millimeter", b"millimeters", b""}:
        found = f"its space units are {units[1].decode(errors='replace').strip()}"
        raise CaseError(file, "lengths must be in mm", found, EXPORT_IN_MM)
    kind = (
        TEXT
        if re.search(rb"(?im)^(encoding\s*:\s*(txt|text|ascii|hex)|\s*BinaryData\s*[=:]\s*[^Tt1\s]\w*)\s*$", header)
        else RAW
    )
    if re.search(syntax.packed, header):
        kind = syntax.packing
    if kind == TEXT and holder != file:
        found = "they are words in a second file"
        raise CaseError(file, "voxels must be raw or compressed by gzip", found, "export it again")
    away = re.findall(rb"(?m)^\s*DistanceUnits\s*[=:]\s*(\S+)", header)
    if set(away) - {b"mm", b"?"}:
        raise CaseError(
            file, "lengths must be in mm", f"its DistanceUnits are {away[0].decode(errors='replace')}", EXPORT_IN_MM
        )
    size = re.search(rb"(?m)^\s*CompressedDataSize\s*[=:]\s*(\d+)\s*$", header)
    length = len(header) if holder == file else 0
    return Stored(holder, length, _skipped(file, header, length, kind), kind, int(size[1]) if size else 0)


def file_named_by(file: str) -> str | None:
    """The second file; None where there is none, or none that may be read."""
    with suppress(CaseError, OSError):
        holder = _holder(file, _header(file))
        return None if holder == file else holder
    return None


def _syntax(file: str) -> _Syntax:
    return SYNTAX[Path(file).suffix.lower()]


def _header(file: str) -> bytes:
    """To the line that ends it, or to the end of the file."""
    syntax = _syntax(file)
    with open(file, "rb") as stream:
        text = stream.read(HEADER)
    whole = re.match(rb"(?:" + syntax.line + rb")*+" + syntax.end, text)
    if not re.match(syntax.magic, text) or not whole or whole.end() == HEADER:  # it may go on behind what was read
        found = "it does not begin like one" if text else "it is empty"
        rule = f"the file must be whole, readable {Path(file).suffix}"
        raise CaseError(file, rule, found, "copy or export it again")
    return whole[0]


def _holder(file: str, header: bytes) -> str:
    """The file of the voxels: this one, or the one that it names."""
    syntax = _syntax(file)
    if not re.search(syntax.named, header):
        return file
    if not file.lower().endswith(IN_TWO_FILES):
        found = "its header points to another file"
        raise CaseError(file, "an image must be one file", found, "export it with its voxels inside, or as NIfTI")
    if syntax is NRRD and not re.search(UNCUT, header):
        found, remedy = "its header ends within its fields", "copy it again, or end it with an empty line if it is whole"
        raise CaseError(file, f"the file must be whole, readable {Path(file).suffix}", found, remedy)
    signs, names = re.findall(syntax.named, header), re.findall(syntax.pointer, header)
    name = names[0] if len(signs) == len(names) == 1 else b"; ".join(signs)  # which is no file's
    return named_file(file, name.decode(errors="replace"))


def _skipped(file: str, header: bytes, length: int, kind: str) -> int | None:
    """-1 means in both formats that the voxels are at the end; else a MetaImage counts from the beginning of their file.

    length: of the header in that file.
    """
    syntax = _syntax(file)
    skips = re.findall(syntax.skip, header)
    if skips in ([], [b"0"]):
        return 0
    if len(skips) == 1 and kind == RAW and re.fullmatch(rb"-1|\d+", skips[0]):
        skip = int(skips[0]) - (length if syntax is META else 0)
        if skips[0] == b"-1" or skip >= 0:
            return None if skips[0] == b"-1" else skip
    found = f"its header skips {b', '.join(skips).decode(errors='replace')} bytes, which leads into the header or a stream"
    raise CaseError(file, "voxels must begin after the header", found, "export it again")
