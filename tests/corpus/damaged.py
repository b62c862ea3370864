"""Files that are cut, flipped, disguised or blown up: none gets a mask."""

import bz2
import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from dicom_phantom import write_series

from .corpus_case import REFUSED, CorpusCase, by_suffix
from .nifti import COMPRESSED, PLAIN, patched, put, raw

GZIP_CUTS = (1, 5, 10, 18, 40, 100, 1000, len(COMPRESSED) // 2, len(COMPRESSED) * 3 // 4, -1000, -9, -8, -4, -1)
PLAIN_CUTS = (1, 4, 40, 100, 347, 348, 352, 1000, len(PLAIN) // 2, -2, -1)
FLIPS = 16
WHOLE = "must be whole|hold what its header says"
ZEROS = gzip.compress(bytes(2**24), mtime=0)  # 16 MiB in 16 KiB


def _flipped() -> Iterator[bytes]:
    """One bit each, anywhere behind gzip's header, where it changes what is read or can be noticed."""
    generator = np.random.default_rng(14)
    found = 0
    while found < FLIPS:
        data = bytearray(COMPRESSED)
        data[generator.integers(10, len(data))] ^= 1 << generator.integers(8)
        try:
            if gzip.decompress(data) == PLAIN:
                continue
        except Exception:  # zlib's, gzip's or the end of the file
            pass
        found += 1
        yield bytes(data)


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("scan.nii", PLAIN)
    return stream.getvalue()


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        about = tarfile.TarInfo("scan.nii")
        about.size = len(PLAIN)
        archive.addfile(about, io.BytesIO(PLAIN))
    return stream.getvalue()


def _dicom(path: Path) -> None:
    """Only the file that is named: not the rest of its series."""
    (file,) = write_series(path.parent / "written", np.ones((4, 4, 1), np.int16))
    file.replace(path)
    file.parent.rmdir()


DISGUISED = {
    "text": b"Dear colleague,\nplease find attached the scan.\n" * 30,
    "one_byte": b"\n",
    "html": b"<!DOCTYPE html><html><title>403 Forbidden</title></html>" * 20,
    "json": b'{"training": []}',
    "pointer_to_large_file": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\0\0\0\0" + bytes(500),
    "zip": _zip(),
    "tar": _tar(),
    "bzip2": bz2.compress(PLAIN),
    "gzip_in_gzip": gzip.compress(COMPRESSED, mtime=0),
    "zeros": bytes(5000),
    "noise": np.random.default_rng(15).bytes(5000),
}

FILES: dict[str, Callable[[Path], object]] = {
    "empty.nii.gz": raw(b""),
    "empty.nii": raw(b""),
    "gzip_of_nothing.nii.gz": raw(gzip.compress(b"", mtime=0)),
    **{f"gzip_cut_at_{cut}.nii.gz": raw(COMPRESSED[:cut]) for cut in GZIP_CUTS},
    **{f"cut_at_{cut}.nii": raw(PLAIN[:cut]) for cut in PLAIN_CUTS},
    **{f"cut_at_{cut}_then_compressed.nii.gz": put(PLAIN[:cut]) for cut in (100, 348, 352, len(PLAIN) // 2, -1)},
    **{f"bit_flip_{number}.nii.gz": raw(data) for number, data in enumerate(_flipped())},
    "wrong_checksum.nii.gz": raw(COMPRESSED[:-8] + struct.pack("<I", 1) + COMPRESSED[-4:]),
    "wrong_length.nii.gz": raw(COMPRESSED[:-4] + struct.pack("<I", len(PLAIN) + 1)),
    "garbage_behind_gzip.nii.gz": raw(COMPRESSED + b"garbage"),
    "second_member_cut.nii.gz": raw(gzip.compress(PLAIN[:3000]) + gzip.compress(PLAIN[3000:])[:-500]),
    "second_member_missing.nii.gz": raw(gzip.compress(PLAIN[:3000])),
    "second_member_damaged.nii.gz": raw(gzip.compress(PLAIN[:3000]) + b"\x1f\x8b\x08" + bytes(3000)),
    "first_bytes_missing.nii.gz": raw(COMPRESSED[2:]),
    "zeros_in_the_middle.nii.gz": raw(COMPRESSED[:2000] + bytes(512) + COMPRESSED[2512:]),
    "line_ends_converted.nii.gz": raw(COMPRESSED.replace(b"\n", b"\r\n")),
    "through_a_text_editor.nii.gz": raw(COMPRESSED.decode("utf-8", "replace").encode()),
    "plain_under_a_gzip_name.nii.gz": raw(PLAIN),
    "gzip_under_a_plain_name.nii": raw(COMPRESSED),
    **{f"{name}.nii.gz": raw(data) for name, data in DISGUISED.items()},
    **{f"{name}.nii": raw(data) for name, data in DISGUISED.items()},
    "dicom/slice.nii": _dicom,
    # A small file that unpacks to 4 GiB behind its voxels; and one that ends before the voxels that its header claims.
    "bomb_behind_the_voxels.nii.gz": raw(gzip.compress(PLAIN, mtime=0) + 256 * ZEROS),
    "claims_more_than_it_holds.nii.gz": put(patched(PLAIN, dim=(3, 1000))),
    "not_its_magic.nii.gz": put(patched(PLAIN, magic=b"n+7")),
    "header_of_a_pair.nii": put(patched(PLAIN[:348], magic=b"ni1", vox_offset=0)),
    "header_of_a_pair.nii.gz": put(patched(PLAIN[:348], magic=b"ni1", vox_offset=0)),
    "voxels_of_a_pair.nii": put(PLAIN[352:]),
    "magic_missing.nii": put(patched(PLAIN, magic=b"")),
    "not_its_header_size.nii.gz": put(patched(PLAIN, sizeof_hdr=347)),
    # The voxels would be read from elsewhere: every one of them shifted.
    "voxels_at_0.nii.gz": put(patched(PLAIN, vox_offset=0)),
    "voxels_at_0.nii": put(patched(PLAIN, vox_offset=0)),
    "voxels_within_the_header.nii.gz": put(patched(PLAIN, vox_offset=176)),
    "voxels_at_a_broken_offset.nii.gz": put(patched(PLAIN, vox_offset=353.5)),
    "voxels_at_minus_16.nii.gz": put(patched(PLAIN, vox_offset=-16)),
    "voxels_at_nan.nii.gz": put(patched(PLAIN, vox_offset=np.nan)),
    "voxels_at_infinity.nii": put(patched(PLAIN, vox_offset=np.inf)),
    "voxels_behind_the_end.nii": put(patched(PLAIN, vox_offset=1e6)),
    "voxels_behind_the_end.nii.gz": put(patched(PLAIN, vox_offset=1e6)),
}

TOO_LARGE = {
    "claims_70_terabytes.nii.gz": put(patched(PLAIN, dim=[[3, 32767, 32767, 32767, 1, 1, 1, 1]])),
    "claims_70_terabytes.nii": put(patched(PLAIN, dim=[[3, 32767, 32767, 32767, 1, 1, 1, 1]])),
}

CASES = [
    *(CorpusCase(f"damaged/{by_suffix(path)}", REFUSED, write, WHOLE) for path, write in FILES.items()),
    *(CorpusCase(f"damaged/{by_suffix(path)}", REFUSED, write, "whole|fit into memory") for path, write in TOO_LARGE.items()),
]
