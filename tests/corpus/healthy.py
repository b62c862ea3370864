"""Images that are odd, and in order: each gets its mask."""

import gzip
import io

import nibabel as nib
import numpy as np

from scripts.data.phantoms import reorient

from .corpus_case import WRITTEN, CorpusCase, by_suffix
from .nifti import AFFINE, PLAIN, VOXELS, image, patched, put, raw

TYPES = ("uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
ORDERS = ("LPS", "ASL", "PIR", "SLP", "RAI", "LAS")
NOISE = np.random.default_rng(13)


def _swapped(kind: type[nib.Nifti1Image]) -> bytes:
    """In the byte order that this kind of machine does not use."""
    plain = image(kind=kind)
    header = plain.header.as_byteswapped()
    return kind(VOXELS, AFFINE, header).to_bytes()


def _extended() -> bytes:
    volume = image()
    volume.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, born 1970"))
    return volume.to_bytes()


def _members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, 6, mtime=0) for part in parts)


def _named_member() -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile("its name before.nii", "wb", fileobj=stream, mtime=0) as file:
        file.write(PLAIN)
    return stream.getvalue()


def _noise(*shape: int) -> np.ndarray:
    return NOISE.normal(100, 20, shape).astype(np.float32)


def _spaced(*spacing: float) -> np.ndarray:
    return np.diag([*spacing, 1.0])


SAME = {  # the plain volume, in other words
    "plain.nii.gz": put(PLAIN),
    "uncompressed.nii": put(PLAIN),
    "UPPER_CASE.NII.GZ": put(PLAIN),
    "nifti2.nii.gz": put(image(kind=nib.Nifti2Image).to_bytes()),
    "nifti2.nii": put(image(kind=nib.Nifti2Image).to_bytes()),
    "big_endian.nii.gz": put(_swapped(nib.Nifti1Image)),
    "big_endian.nii": put(_swapped(nib.Nifti1Image)),
    "big_endian_nifti2.nii.gz": put(_swapped(nib.Nifti2Image)),
    **{f"as_{name}.nii.gz": put(image(VOXELS.astype(name)).to_bytes()) for name in TYPES},
    **{f"stored_{order}.nii.gz": put(reorient(image(), order).to_bytes()) for order in ORDERS},
    "tiny_intensities.nii.gz": put(image(VOXELS.astype(np.float32) * 1e-30).to_bytes()),
    "huge_intensities.nii.gz": put(image(VOXELS.astype(np.float32) * 1e30).to_bytes()),
    "negative_intensities.nii.gz": put(image((VOXELS - 32000).astype(np.int16)).to_bytes()),
    "scaled.nii.gz": put(patched(PLAIN, scl_slope=0.5, scl_inter=-1000)),
    "scaled_by_minus_one.nii.gz": put(patched(image(-VOXELS).to_bytes(), scl_slope=-1, scl_inter=0)),
    "slope_zero_means_none.nii.gz": put(patched(PLAIN, scl_slope=0, scl_inter=0)),
    "slope_nan_means_none.nii.gz": put(patched(PLAIN, scl_slope=np.nan, scl_inter=np.nan)),
    "trailing_axis.nii.gz": put(image(VOXELS[..., None]).to_bytes()),
    "two_trailing_axes.nii.gz": put(image(VOXELS[..., None, None]).to_bytes()),
    "sform_alone.nii.gz": put(image(qform=0).to_bytes()),
    "qform_alone.nii.gz": put(image(sform=0).to_bytes()),
    "codes_2_and_2.nii.gz": put(image(sform=2, qform=2).to_bytes()),
    "codes_4_and_1_agree.nii.gz": put(image(sform=4, qform=1).to_bytes()),
    "qfac_0_means_1.nii.gz": put(patched(image(sform=0).to_bytes(), pixdim=(0, 0.0))),  # NIfTI-1, method 2
    "qfac_0_beside_an_sform.nii.gz": put(patched(PLAIN, pixdim=(0, 0.0))),
    "seconds.nii.gz": put(patched(PLAIN, xyzt_units=10)),
    "unit_not_said.nii.gz": put(patched(PLAIN, xyzt_units=0)),
    "display_range.nii.gz": put(patched(PLAIN, cal_min=5000, cal_max=1)),
    "intent_label.nii.gz": put(patched(PLAIN, intent_code=1002)),
    "description.nii.gz": put(patched(PLAIN, descrip=b"$__import__('os').system('touch pwned')", aux_file=b"@network")),
    "extension.nii.gz": put(_extended()),
    "extension.nii": put(_extended()),
    "extension_announced_and_missing.nii.gz": put(PLAIN[:348] + b"\1\0\0\0" + PLAIN[352:]),
    "voxels_further_behind.nii": put(patched(PLAIN, vox_offset=1024)[:352] + bytes(1024 - 352) + PLAIN[352:]),
    "voxels_further_behind.nii.gz": put(patched(PLAIN, vox_offset=1024)[:352] + bytes(1024 - 352) + PLAIN[352:]),
    "zeros_behind.nii": put(PLAIN + bytes(512)),
    "zeros_behind.nii.gz": put(PLAIN + bytes(512)),
    "two_gzip_members.nii.gz": raw(_members(PLAIN[:3000], PLAIN[3000:])),
    "split_within_the_header.nii.gz": raw(_members(PLAIN[:100], b"", PLAIN[100:])),
    "gzip_padded_with_zeros.nii.gz": raw(_members(PLAIN) + bytes(1000)),
    "gzip_with_a_name.nii.gz": raw(_named_member()),
    "gzip_stored.nii.gz": raw(gzip.compress(PLAIN, 0, mtime=0)),
    "deep/er/and/deeper/scan.nii.gz": put(PLAIN),
}

OTHERS = {  # volumes of their own
    "binary_intensities.nii.gz": image((np.median(VOXELS) < VOXELS).astype(np.uint8)),
    "as_int8.nii.gz": image((VOXELS % 100).astype(np.int8)),
    "right_angled.nii.gz": image(_noise(8, 7, 6), _spaced(1, 1, 1)),
    "left_handed.nii.gz": image(_noise(8, 7, 6), _spaced(-1, 1, 1)),
    "very_anisotropic.nii.gz": image(_noise(12, 9, 3), _spaced(0.3, 0.3, 20)),
    "microscopic.nii.gz": image(_noise(8, 7, 6), _spaced(0.006, 0.006, 0.006)),
    "far_away.nii.gz": image(_noise(8, 7, 6), _spaced(1, 1, 1) + np.outer([5000, -5000, 9, 0], [0, 0, 0, 1])),
    "two_voxels_each_way.nii.gz": image(_noise(2, 2, 2)),
    "two_slices.nii.gz": image(_noise(9, 8, 2)),
    "a_needle.nii.gz": image(_noise(3, 2, 90)),
    "larger_than_the_network.nii.gz": image(_noise(71, 45, 3)),
    "one_axis_larger.nii.gz": image(_noise(5, 90, 3)),
}

CASES = [
    *(CorpusCase(f"healthy/{by_suffix(path)}", WRITTEN, write, same=True) for path, write in SAME.items()),
    *(CorpusCase(f"healthy/{by_suffix(path)}", WRITTEN, put(volume.to_bytes())) for path, volume in OTHERS.items()),
]
