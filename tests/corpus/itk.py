"""NRRD and MetaImage files: healthy, damaged, and such whose header points to another file."""

import gzip
import io
import zlib
from pathlib import Path

import numpy as np

from .corpus_case import DOUBT, REFUSED, WRITTEN, CorpusCase, by_suffix
from .nifti import AFFINE, SHAPE, VOXELS, raw

VALUES = VOXELS.astype("<i2").T.tobytes()  # the first axis runs fastest
DIRECTIONS = (AFFINE[:3, :3] / np.linalg.norm(AFFINE[:3, :3], axis=0)).T  # one row for each axis
TO_LPS = np.array([-1.0, -1.0, 1.0])
SECRET = "secret.raw"  # beside the image and of the right size: whoever follows the header gets a volume
ONE_FILE, WHOLE = "must be one file|must be whole", "must be whole"


def _words(numbers: np.ndarray) -> str:
    return " ".join(f"{number:.17g}" for number in np.ravel(numbers))


META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": _words(DIRECTIONS * TO_LPS),
    "Offset": _words(AFFINE[:3, 3] * TO_LPS),
    "ElementSpacing": _words(np.linalg.norm(AFFINE[:3, :3], axis=0)),
    "DimSize": _words(np.array(SHAPE)),
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "right-anterior-superior",
    "sizes": _words(np.array(SHAPE)),
    "space directions": " ".join(f"({','.join(f'{x:.17g}' for x in column)})" for column in AFFINE[:3, :3].T),
    "space origin": f"({','.join(f'{x:.17g}' for x in AFFINE[:3, 3])})",
    "encoding": "raw",
    "endian": "little",
}


def meta(data: bytes = VALUES, line_end: str = "\n", **fields: str | None) -> bytes:
    """None leaves a field out."""
    fields = META | fields
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # which ends the header
    lines = [f"{key} = {value}{line_end}" for key, value in fields.items() if value is not None]
    return "".join(lines).encode() + data


def nrrd(data: bytes = VALUES, line_end: str = "\n", fields: dict[str, str | None] | None = None) -> bytes:
    lines = ["NRRD0004", *(f"{key}: {value}" for key, value in (NRRD | (fields or {})).items() if value is not None), "", ""]
    return line_end.join(lines).encode() + data


def _flipped(data: bytes, start: int) -> bytes:
    return data[:start] + bytes([data[start] ^ 4]) + data[start + 1 :]


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, VOXELS)
    return stream.getvalue()


def _with_secret(header: bytes, folder_up: bool = False) -> object:
    """Writes the image, and beside it (or above it) what its header points to."""

    def write(path: Path) -> None:
        path.write_bytes(header)
        (path.parents[1] if folder_up else path.parent).joinpath(SECRET).write_bytes(VALUES)

    return write


ZLIB, GZIP, SHORT = zlib.compress(VALUES), gzip.compress(VALUES, mtime=0), zlib.compress(VALUES[:2000])
PACKED = {"CompressedData": "True", "CompressedDataSize": str(len(ZLIB))}
BIG = VOXELS.astype(">i2").T.tobytes()
TEXT = " ".join(map(str, VOXELS.T.ravel())).encode()
FLAT = {"DimSize": "22 133", "NDims": "2", "TransformMatrix": "1 0 0 1", "Offset": "0 0", "ElementSpacing": "1 1"}
FOURTH = {
    "DimSize": "22 19 1 7",
    "NDims": "4",
    "TransformMatrix": _words(np.eye(4)),
    "Offset": "0 0 0 0",
    "ElementSpacing": "1 1 1 1",
}

FOR_SLICER = "\n".join(f"Segment{i}_Name:={'a segment ' * 90}" for i in range(110))  # 100 kB

SAME = {
    "plain.mha": meta(),
    "windows_lines.mha": meta(line_end="\r\n"),
    "compressed.mha": meta(ZLIB, **PACKED),
    "big_endian.mha": meta(BIG, BinaryDataByteOrderMSB="True"),
    "in_words.mha": meta(TEXT + b"\n", BinaryData="False"),
    "UPPER.MHA": meta(),
    "comment.mha": meta(Comment="made by hand"),
    "fields_of_its_own.mha": meta(**{"0010|0010": "Jane Doe", "0008|0090": "", "with spaces": "a = b: c"}),
    "plain.nrrd": nrrd(),
    "windows_lines.nrrd": nrrd(line_end="\r\n"),
    "compressed.nrrd": nrrd(GZIP, fields={"encoding": "gzip"}),
    "compressed_gz.nrrd": nrrd(GZIP, fields={"encoding": "gz"}),
    "big_endian.nrrd": nrrd(BIG, fields={"endian": "big"}),
    "in_words.nrrd": nrrd(TEXT, fields={"encoding": "ascii", "endian": None}),
    "UPPER.NRRD": nrrd(),
    "units.nrrd": nrrd(fields={"space units": '"mm" "mm" "mm"'}),
    "long_header.nrrd": nrrd(fields={FOR_SLICER + "\n# end": ""}),
    "byte_skip.nrrd": nrrd(b"\7" * 64 + VALUES, fields={"byte skip": "64"}),
    "byte_skip_from_the_end.nrrd": nrrd(b"\7" * 99 + VALUES, fields={"byte skip": "-1"}),
    "long_header.mha": meta(**{f"Seq_Frame{i:04}_Transform": "1 0 0 0 1 0 0 0 1 " * 10 for i in range(500)}),
    "header_size_from_the_end.mha": meta(b"\7" * 99 + VALUES, HeaderSize="-1"),
    "comment_and_keys.nrrd": nrrd(fields={"# data": "none", "modality:=MR\n# end": ""}),
}

POINTERS = {
    "beside.mha": meta(b"", ElementDataFile=SECRET),
    "above.mha": meta(b"", ElementDataFile=f"../{SECRET}"),
    "passwords.mha": meta(b"", ElementDataFile="/etc/passwd"),
    "pattern.mha": meta(b"", ElementDataFile="slice%03d.raw 1 7 1"),
    "list.mha": meta(f"{SECRET}\n".encode(), ElementDataFile="LIST"),
    "behind_a_comment.mha": b"ObjectType = Image\nComment = ElementDataFile = LOCAL\n" + meta(b"", ElementDataFile=SECRET)[19:],
    "behind_an_empty_comment.mha": b"ObjectType = Image\nComment =\nElementDataFile = LOCAL\n"
    + meta(b"", ElementDataFile=SECRET)[19:],
    "with_a_colon.mha": meta(b"", ElementDataFile=None) + f"ElementDataFile : {SECRET}\nElementDataFile = LOCAL\n".encode(),
    "without_spaces.mha": meta(b"", ElementDataFile=None) + f"ElementDataFile={SECRET}\n".encode(),
    "old_line_ends.mha": meta(b"", line_end="\r", ElementDataFile=SECRET) + b"\nElementDataFile = LOCAL\n",
    "beside.nrrd": nrrd(b"", fields={"data file": SECRET}),
    "beside_in_one_word.nrrd": nrrd(b"", fields={"datafile": SECRET}),
    "above.nrrd": nrrd(b"", fields={"data file": f"../{SECRET}"}),
    "capitals.nrrd": nrrd(b"", fields={"DATA FILE": SECRET}),
    "passwords.nrrd": nrrd(b"", fields={"data file": "/etc/passwd"}),
    "list.nrrd": nrrd(b"", fields={"data file": f"LIST\n{SECRET}"}),
    "pattern.nrrd": nrrd(b"", fields={"data file": "slice%03d.raw 1 7 1"}),
    "old_line_ends.nrrd": nrrd(b"", line_end="\r", fields={"data file": SECRET}) + b"\n\n",
    "skip.nrrd": nrrd(b"", fields={"byte skip": "-1", "data file": SECRET}),
}

REFUSALS = {
    "empty.mha": (b"", WHOLE),
    "empty.nrrd": (b"", WHOLE),
    "text.mha": (b"Dear colleague,\n\nplease find attached", WHOLE),
    "text.nrrd": (b"Dear colleague,\n\nplease find attached", WHOLE),
    "array.nrrd": (_npy(), WHOLE),
    "nrrd_under_another_name.mha": (nrrd(), WHOLE),
    "mha_under_another_name.nrrd": (meta(), WHOLE),
    "header_alone.mha": (meta(b""), WHOLE),
    "header_alone.nrrd": (nrrd(b""), WHOLE),
    "header_cut.mha": (meta()[:100], WHOLE),
    "header_cut.nrrd": (nrrd()[:100], WHOLE),
    "voxels_cut.mha": (meta()[:-1], WHOLE),
    "voxels_cut_in_half.mha": (meta(VALUES[: len(VALUES) // 2]), WHOLE),
    "voxels_cut.nrrd": (nrrd()[:-1], WHOLE),
    "voxels_cut_in_half.nrrd": (nrrd(VALUES[: len(VALUES) // 2]), WHOLE),
    "words_cut.mha": (meta(TEXT[: len(TEXT) // 2], BinaryData="False"), WHOLE),
    "words_cut.nrrd": (nrrd(TEXT[: len(TEXT) // 2], fields={"encoding": "ascii", "endian": None}), WHOLE),
    "stream_cut.mha": (meta(ZLIB[:-100], **PACKED), WHOLE),
    "stream_cut.nrrd": (nrrd(GZIP[:-100], fields={"encoding": "gzip"}), WHOLE),
    "checksum_cut.mha": (meta(ZLIB[:-2], **PACKED), WHOLE),
    "checksum_cut.nrrd": (nrrd(GZIP[:-2], fields={"encoding": "gzip"}), WHOLE),
    "checksum_wrong.mha": (meta(_flipped(ZLIB, len(ZLIB) - 1), **PACKED), WHOLE),
    "checksum_wrong.nrrd": (nrrd(_flipped(GZIP, len(GZIP) - 6), fields={"encoding": "gzip"}), WHOLE),
    "bit_flip.mha": (meta(_flipped(ZLIB, len(ZLIB) // 2), **PACKED), WHOLE),
    "bit_flip.nrrd": (nrrd(_flipped(GZIP, len(GZIP) // 2), fields={"encoding": "gzip"}), WHOLE),
    "bit_flip_compressed_1.mha": (meta(_flipped(ZLIB, len(ZLIB) // 2), **PACKED | {"CompressedData": "1"}), WHOLE),
    "bit_flip_compressed_true.mha": (meta(_flipped(ZLIB, len(ZLIB) - 1), **PACKED | {"CompressedData": "true"}), WHOLE),
    "stream_of_half_the_voxels.mha": (meta(SHORT, CompressedData="True", CompressedDataSize=str(len(SHORT))), WHOLE),
    "stream_of_half_the_voxels.nrrd": (nrrd(gzip.compress(VALUES[:2000]), fields={"encoding": "gzip"}), WHOLE),
    "compressed_size_missing.mha": (meta(ZLIB, CompressedData="True"), WHOLE),
    "compressed_size_too_small.mha": (meta(ZLIB, CompressedData="True", CompressedDataSize=str(len(ZLIB) - 200)), WHOLE),
    "compressed_size_too_large.mha": (meta(ZLIB, CompressedData="True", CompressedDataSize=str(len(ZLIB) + 200)), WHOLE),
    "bzip2.nrrd": (nrrd(b"BZh91AY", fields={"encoding": "bzip2"}), "raw or compressed by gzip"),
    "header_size.mha": (meta(b"\7" * 64 + VALUES, HeaderSize="64"), "after the header"),
    "header_size_twice.mha": (meta(HeaderSize="0\nHeaderSize = 64"), "after the header"),
    "header_size_of_a_stream.mha": (meta(ZLIB, HeaderSize="-1", **PACKED), "after the header"),
    "byte_skip_of_a_stream.nrrd": (
        nrrd(gzip.compress(bytes(64) + VALUES), fields={"byte skip": "64", "encoding": "gzip"}),
        "after the header",
    ),
    "byte_skip_and_nothing_there.nrrd": (nrrd(fields={"byte skip": "64"}), WHOLE),
    "bytes_before_the_voxels.mha": (meta(b"\7" * 64 + VALUES), "what its header says"),
    "bytes_before_the_voxels.nrrd": (nrrd(b"\7" * 64 + VALUES), "what its header says"),
    "rows_longer_than_said.mha": (meta(DimSize="20 19 7"), "what its header says"),
    "rows_longer_than_said.nrrd": (nrrd(fields={"sizes": "20 19 7"}), "what its header says"),
    "centimetres.mha": (meta(DistanceUnits="cm"), "lengths must be in mm"),
    "sheared.nrrd": (nrrd(fields={"space directions": "(1,0,0) (0.35,1,0) (0,0,1.25)"}), "right angles"),
    "sheared_a_little.nrrd": (nrrd(fields={"space directions": "(1,0,0) (0,1,0) (0.001,0,1.25)"}), "right angles"),
    "sheared.mha": (meta(TransformMatrix="1 0 0 0.33 0.944 0 0 0 1"), "right angles"),
    "two_dimensions.mha": (meta(**FLAT), "volume"),
    "time_series.mha": (meta(**FOURTH), "expects 1 modalit"),
    "three_channels.mha": (meta(3 * VALUES, ElementNumberOfChannels="3"), "expects 1 modalit"),
    "constant.mha": (meta(bytes(len(VALUES))), "contrast"),
    "nan.nrrd": (nrrd(np.full(VOXELS.size, np.nan, "<f4").tobytes(), fields={"type": "float"}), "finite"),
    "spacing_0.mha": (meta(ElementSpacing="1 1 0"), "place every voxel|whole|measure"),
    "spacing_nan.mha": (meta(ElementSpacing="1 1 nan"), "place every voxel|whole|measure"),
    "a_thousand_mm.mha": (meta(ElementSpacing="1 1 1000"), "measure"),
    "no_third_axis.mha": (meta(TransformMatrix="1 0 0 0 1 0 0 1 0"), "place every voxel|whole"),
    "no_third_axis.nrrd": (nrrd(fields={"space directions": "(1,0,0) (0,1,0) (0,1,0)"}), "place every voxel|whole"),
    "directions_nan.nrrd": (nrrd(fields={"space directions": "(nan,0,0) (0,1,0) (0,0,1)"}), "place every voxel|whole"),
    "units_cm.nrrd": (nrrd(fields={"space units": '"cm" "cm" "cm"'}), "lengths must be in mm"),
    "units_m.nrrd": (nrrd(fields={"space units": '"m" "m" "m"'}), "lengths must be in mm"),
    "no_slices.mha": (meta(DimSize="22 19 0"), "whole|must have voxels"),
    "minus_7_slices.mha": (meta(DimSize="22 19 -7"), "whole|must have voxels|memory"),
    "claims_petabytes.mha": (meta(DimSize="99999 99999 99999"), "whole|memory"),
    "claims_petabytes.nrrd": (nrrd(fields={"sizes": "99999 99999 99999"}), "whole|memory"),
    "type_that_is_none.mha": (meta(ElementType="MET_FANCY"), "whole|one real number"),
    "type_that_is_none.nrrd": (nrrd(fields={"type": "fancy"}), "whole|one real number"),
}

DOUBTS = {
    "orientation_not_said.nrrd": (
        nrrd(fields={"space": None, "space directions": None, "space origin": None, "spacings": "1 1 3"}),
        "how the patient lies",
    ),
    "of_the_scanner.nrrd": (nrrd(fields={"space": "scanner-xyz"}), "how the patient lies"),
    "one_slice.mha": (meta(VALUES[: 22 * 19 * 2], DimSize="22 19 1"), "several slices"),
}

CASES = [
    *(CorpusCase(f"itk/{by_suffix(path)}", WRITTEN, raw(data), same=True) for path, data in SAME.items()),
    *(
        CorpusCase(f"itk/pointers/{by_suffix(path)}", REFUSED, _with_secret(data, "above" in path), ONE_FILE)
        for path, data in POINTERS.items()
    ),
    *(CorpusCase(f"itk/{by_suffix(path)}", REFUSED, raw(data), rule) for path, (data, rule) in REFUSALS.items()),
    *(CorpusCase(f"itk/{by_suffix(path)}", DOUBT, raw(data), rule) for path, (data, rule) in DOUBTS.items()),
]
