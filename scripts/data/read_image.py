"""A NIfTI file, or one for each modality -> a tensor with its geometry, or an error that names the file."""

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelReader
from monai.transforms import LoadImage, MapTransform

from .case_error import CaseError
from .datalist import SUFFIXES, as_list

logger = logging.getLogger(__name__)

DOUBT = 0.01  # mm: quaternions in single precision differ from the matrix by less


class ReadImaged(MapTransform):
    """Paths -> MetaTensors (H, W, D) or, of several channels, MONAI's channel-last or stacked arrays. Only NIfTI is read.

    MONAI's `LoadImaged` tries one reader after the other on a file that it cannot read, and its error names none.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadImage(image_only=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        data = dict(data)
        for key in self.key_iterator(data):
            data[key] = self._read(data[key])
        return data

    def _read(self, files: str | list[str]) -> MetaTensor:
        for file in as_list(files):
            _check_header(str(file))
        try:
            return self.load(files, reader=NibabelReader())  # a reader given here is the only one that is tried
        except Exception as error:  # whatever a damaged file or files of different grids trigger
            raise _unreadable(str(files), error) from error


def _check_header(file: str) -> None:
    if not Path(file).name.endswith(SUFFIXES):
        raise CaseError(file, f"images must be NIfTI ({' or '.join(SUFFIXES)})", "its name ends otherwise", "convert it")
    try:
        header = nib.load(file).header
        dtype = header.get_data_dtype()
    except Exception as error:  # nibabel raises many kinds
        raise _unreadable(file, error) from error
    if dtype.kind not in "iuf":
        raise CaseError(file, "a voxel must hold one real number", f"the data type is {dtype}", "export it as scalar image")
    qform, sform = header.get_qform(coded=True)[0], header.get_sform(coded=True)[0]
    if qform is not None and sform is not None and not np.allclose(qform, sform, atol=DOUBT):
        logger.warning("%s: its sform and qform differ by up to %.3g; the sform is used", file, np.abs(qform - sform).max())


def _unreadable(file: str, error: Exception) -> CaseError:
    message = str(error).splitlines()[0] if str(error) else ""
    found = f"reading it failed ({type(error).__name__}: {message})"
    return CaseError(file, "the file must be whole, readable NIfTI", found, "copy or export it again")
