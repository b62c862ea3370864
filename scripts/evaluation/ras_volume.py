"""Images of any format and order of axes -> volumes (R, A, S), as radiologists look at them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import nibabel as nib
import numpy as np

from ..basics.geometry import spacing_of


class OpenedImage(Protocol):
    @property
    def affine(self) -> np.ndarray: ...
    @property
    def read(self) -> Callable[[], np.ndarray]: ...  # -> (channels, H, W, D)


OpenImage = Callable[[str], OpenedImage]


@dataclass(frozen=True)
class RasVolume:
    voxels: np.ndarray  # (R, A, S): indices rise towards the patient's right, front and head
    spacing: np.ndarray  # mm along each axis


def read_ras(image: OpenedImage) -> RasVolume:
    """Of several channels the first."""
    to_ras = nib.io_orientation(image.affine)
    return RasVolume(nib.apply_orientation(image.read()[0], to_ras), spacing_of(image.affine)[np.argsort(to_ras[:, 0])])


def upright(plane: np.ndarray) -> np.ndarray:
    """(R, A) -> rows from front to back, columns from the patient's right to left; so with (R, S) and (A, S), head up."""
    return plane.T[::-1, ::-1]
