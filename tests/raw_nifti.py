"""Header fields and voxels -> a NIfTI file, byte by byte: nothing is repaired on the way, as nibabel's saving would."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (5, 4, 3)
VOXELS = np.random.default_rng(0).integers(-500, 900, SHAPE).astype(np.int16)

Edit = Callable[[Any], None]


def write_nifti(
    path: Path,
    voxels: np.ndarray = VOXELS,
    affine: np.ndarray | None = None,
    edit: Edit = lambda header: None,
    version: int = 1,
    order: str = "<",
    extension: bytes = b"\0" * 4,
    more: bytes = b"",
) -> str:
    """affine: of both forms. edit: changes the header before it is written. order: of bytes. more: follows the voxels."""
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)(endianness=order)
    header.set_data_shape(voxels.shape)
    header.set_data_dtype(voxels.dtype)
    header.set_xyzt_units("mm", "sec")
    for set_form in (header.set_sform, header.set_qform):
        set_form(np.eye(4) if affine is None else affine, 1)
    header["vox_offset"] = len(header.binaryblock) + len(extension)
    header["scl_slope"], header["scl_inter"] = 1, 0
    edit(header)
    data = header.binaryblock + extension + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes("F") + more
    path.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
    return str(path)
