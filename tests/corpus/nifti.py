"""Voxels -> the bytes of a NIfTI file, any field of whose header may be something else than it should be."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from scripts.data.phantoms import oblique_affine, phantom

SHAPE = (22, 19, 7)  # voxels along R, A and S
VOXELS = phantom(np.random.default_rng(11), SHAPE)[0]
AFFINE = oblique_affine(np.random.default_rng(12))


def image(
    voxels: np.ndarray = VOXELS,
    affine: np.ndarray | None = AFFINE,
    kind: type[nib.Nifti1Image] = nib.Nifti1Image,
    sform: int = 1,
    qform: int = 1,
    unit: str = "mm",
) -> nib.Nifti1Image:
    volume = kind(voxels, affine, dtype=voxels.dtype)
    if affine is not None:
        volume.set_sform(affine, sform)
        volume.set_qform(affine, qform)
    volume.header.set_xyzt_units(unit)
    return volume


def patched(data: bytes, **fields: Any) -> bytes:
    """A little-endian NIfTI-1 file with these fields of its header replaced; a pair (index, value) replaces one number."""
    header = np.frombuffer(bytearray(data[:348]), nib.nifti1.header_dtype).copy()
    for name, value in fields.items():
        if isinstance(value, tuple):
            header[name][0, value[0]] = value[1]
        else:
            header[name] = value
    return header.tobytes() + data[348:]


def put(data: bytes) -> Callable[[Path], object]:
    """Writes the bytes, compressed if the name says so."""

    def write(path: Path) -> None:
        path.write_bytes(gzip.compress(data, 1, mtime=0) if path.name.lower().endswith(".gz") else data)

    return write


def raw(data: bytes) -> Callable[[Path], object]:
    """Writes the bytes as they are."""
    return lambda path: path.write_bytes(data)


PLAIN = image().to_bytes()
COMPRESSED = gzip.compress(PLAIN, 6, mtime=0)
