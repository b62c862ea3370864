"""Images in two files, a header and the voxels: healthy, torn apart, cut, and such whose header leads elsewhere."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib

from .corpus_case import DOUBT, LEFT_OUT, REFUSED, WRITTEN, CorpusCase
from .itk import GZIP, PACKED, VALUES, ZLIB, meta, nrrd
from .nifti import VOXELS, image, raw

BESIDE, WHOLE, MORE = "beside their header", "must be whole", "what its header says"
PIXELS = VOXELS.tobytes("F")
Write = Callable[[Path], object]


def nifti_header(kind: type[nib.Nifti1Pair] = nib.Nifti1Pair, voxels: int | None = None) -> bytes:
    """voxels: in the first axis, if the header is to say something else than there is."""
    header = image(kind=kind).header
    if voxels is not None:
        header["dim"][1] = voxels
    header["magic"], header["vox_offset"] = header.pair_magic, 0
    return header.binaryblock + bytes(4)


def pair(header: bytes, data: bytes | None, name: str = "{stem}.raw") -> Write:
    """Writes the header, and the voxels under that name in its folder; None writes none."""

    def write(path: Path) -> None:
        path.write_bytes(header.replace(b"{stem}", path.stem.encode()))
        if data is not None:
            path.parent.joinpath(name.format(stem=path.stem)).write_bytes(data)

    return write


def gz_pair(path: Path) -> None:
    path.write_bytes(gzip.compress(nifti_header()))
    path.with_name(path.name.replace("hdr", "img")).write_bytes(gzip.compress(PIXELS))


def mhd(name: str = "{stem}.raw", **fields: str) -> bytes:
    return meta(b"", ElementDataFile=name, **fields)


def nhdr(name: str = "{stem}.raw", **fields: str) -> bytes:
    return nrrd(b"", fields={**fields, "data file": name})


def linked(header: bytes, name: str = "{stem}.raw") -> Write:
    """The second file is a link to voxels outside the folder of images."""

    def write(path: Path) -> None:
        outside = next(parent for parent in path.parents if parent.name == "images").parent / "elsewhere" / f"{path.name}.raw"
        outside.parent.mkdir(exist_ok=True)
        outside.write_bytes(VALUES)
        pair(header, None)(path)
        path.with_name(name.format(stem=path.stem)).symlink_to(outside)

    return write


IMG = "{stem}.img"
SAME: dict[str, Write] = {
    "case00.mhd": pair(mhd(), VALUES),
    "packed.mhd": pair(mhd("{stem}.zraw", **PACKED), ZLIB, "{stem}.zraw"),
    "packed_of_any_size.mhd": pair(mhd("{stem}.zraw", CompressedData="True"), ZLIB, "{stem}.zraw"),
    "voxels_at_the_end.mhd": pair(mhd(HeaderSize="-1"), b"\7" * 99 + VALUES),
    "from_here.mhd": pair(mhd("./{stem}.raw"), VALUES),
    "voxels_inside.mhd": raw(meta()),
    "UPPER.MHD": pair(mhd(), VALUES),
    "case01.nhdr": pair(nhdr(), VALUES),
    "packed_too.nhdr": pair(nhdr("{stem}.raw.gz", encoding="gzip"), GZIP, "{stem}.raw.gz"),
    "skipped.nhdr": pair(nhdr(**{"byte skip": "64"}), b"\7" * 64 + VALUES),
    "nifti.hdr": pair(nifti_header(), PIXELS, IMG),
    "nifti_2.hdr": pair(nifti_header(nib.Nifti2Pair), PIXELS, IMG),
    "packed.hdr.gz": gz_pair,
    "UPPER.HDR": pair(nifti_header(), PIXELS, "{stem}.IMG"),
}
REFUSALS: dict[str, tuple[Write, str]] = {
    "alone.mhd": (pair(mhd(), None), BESIDE),
    "alone_too.nhdr": (pair(nhdr(), None), BESIDE),
    "alone_as_well.hdr": (pair(nifti_header(), None), BESIDE),
    "short.mhd": (pair(mhd(), VALUES[:-1]), WHOLE),
    "short_stream.mhd": (pair(mhd("{stem}.zraw", **PACKED), ZLIB[:-3], "{stem}.zraw"), WHOLE),
    "short_too.nhdr": (pair(nhdr(), VALUES[:-1]), WHOLE),
    "short_as_well.hdr": (pair(nifti_header(), PIXELS[:-1], IMG), WHOLE),
    "empty.mhd": (pair(mhd(), b""), WHOLE),
    "long.mhd": (pair(mhd(), VALUES + b"\7"), MORE),
    "long_stream.nhdr": (pair(nhdr("{stem}.gz", encoding="gzip"), GZIP + b"\7", "{stem}.gz"), MORE),
    "long_too.nhdr": (pair(nhdr(), VALUES + b"\7"), MORE),
    "long_as_well.hdr": (pair(nifti_header(), PIXELS + b"\7", IMG), MORE),
    "longer_rows.hdr": (pair(nifti_header(voxels=20), PIXELS, IMG), MORE),
    "above.mhd": (pair(mhd("../{stem}.raw"), VALUES, "../{stem}.raw"), BESIDE),
    "above_too.nhdr": (pair(nhdr("../{stem}.raw"), VALUES, "../{stem}.raw"), BESIDE),
    "passwords.mhd": (pair(mhd("/etc/passwd"), None), BESIDE),
    "passwords_too.nhdr": (pair(nhdr("/etc/passwd"), None), BESIDE),
    "link.mhd": (linked(mhd()), BESIDE),
    "link_too.nhdr": (linked(nhdr()), BESIDE),
    "link_as_well.hdr": (linked(nifti_header(), IMG), BESIDE),
    "list.mhd": (pair(mhd("LIST\nlist.raw"), VALUES), BESIDE),
    "list_too.nhdr": (pair(nhdr("LIST\nlist_too.raw"), VALUES), BESIDE),
    "pattern.mhd": (pair(mhd("slice%03d.raw 1 7 1"), None), BESIDE),
    "analyze.hdr": (pair(nifti_header()[:344] + bytes(4), PIXELS, IMG), "header of a NIfTI image"),
    "of_one_file.hdr": (pair(image().to_bytes()[:352], PIXELS, IMG), "where its voxels lie"),
    "damaged.hdr": (pair(bytes(348), PIXELS, IMG), WHOLE),
}
NOT_ITS_OWN = "the name of its voxels' file"

CASES = [
    *(CorpusCase(f"pairs/{path.lower()}.d/{path}", WRITTEN, write, same=True) for path, write in SAME.items()),
    *(CorpusCase(f"pairs/{path}.d/{path}", REFUSED, write, rule) for path, (write, rule) in REFUSALS.items()),
    CorpusCase("pairs/shared/first.mhd", WRITTEN, pair(mhd(), VALUES), same=True),
    CorpusCase("pairs/shared/second.mhd", DOUBT, pair(mhd("first.raw"), None), NOT_ITS_OWN),
    CorpusCase("pairs/neither/third.mhd", DOUBT, pair(mhd("other.raw"), VALUES, "other.raw"), NOT_ITS_OWN),
    CorpusCase("pairs/neither/fourth.nhdr", DOUBT, pair(nhdr("other.raw"), None), NOT_ITS_OWN),
    CorpusCase("pairs/voxels_alone/volume.raw", LEFT_OUT, raw(VALUES), "no images"),
    CorpusCase("pairs/voxels_alone/volume.img", LEFT_OUT, raw(VALUES), "no images"),
    *(
        CorpusCase(f"pairs/{path.lower()}.d/{second}", LEFT_OUT, lambda path: None)
        for path, second in {"case00.mhd": "case00.raw", "packed.mhd": "packed.zraw", "nifti.hdr": "nifti.img"}.items()
    ),
]
