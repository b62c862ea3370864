"""What every format tells of an image before its voxels are read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Note(NamedTuple):
    """Something odd about a file that did not prevent its use."""

    rule: str
    found: str
    corrected: bool  # there was one right answer and it was taken; else it is in doubt and a person should look


@dataclass(frozen=True)
class ImageFile:
    """An image as its header says it is, and the way to its voxels.

    path: the file, or the folder of a DICOM series.
    shape: (H, W, D) as stored.
    channels: what is stored beside the volume, 1 if nothing is.
    dtype: of a voxel as it is stored.
    affine: voxel indices -> mm, towards the patient's right, front and head (RAS+).
    notes: what is odd in the header.
    read: -> (channels, H, W, D) in single precision; raises CaseError when the voxels are damaged.
    files: all files that it was read from.
    series: of a DICOM series its UID, which tells whether several folders hold parts of one.

    It can be handed to another process.
    """

    path: str
    shape: tuple[int, int, int]
    channels: int
    dtype: np.dtype
    affine: np.ndarray
    notes: tuple[Note, ...]
    read: Callable[[], np.ndarray]
    files: tuple[str, ...]
    series: str | None = None
