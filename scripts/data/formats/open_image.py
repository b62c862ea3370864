"""A path -> the header of the image there, whatever its format; voxels are not read yet."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...basics.free_memory import free_memory
from ...basics.geometry import LONGEST, SHORTEST, places_every_voxel, right_angled, shear, spacing_of
from ..cases.case_error import CaseError, first_line
from .dicom_series import open_series
from .dicom_slice import is_dicom
from .image_file import ImageFile, Note
from .itk_file import READERS, open_itk
from .itk_header import IN_TWO_FILES, file_named_by
from .nifti_file import SUFFIXES as NIFTI
from .nifti_file import open_nifti
from .nifti_pair import PAIRS, image_beside, is_header

SUFFIXES = (*NIFTI, *READERS)
BYTES_PER_VOXEL = 16  # while it is read and prepared: as stored, in single precision, resized, and a copy
SHEAR, NOTICEABLE_SHEAR = 1e-3, 0.1  # degrees: rounding; what a person should know of
MOST_SHEAR = 0.005  # degrees, beyond which ITK's programs find a sheared NIfTI file elsewhere, or do not open it


def open_image(path: str) -> ImageFile:
    """Reads the header of an image: NIfTI, NRRD or MetaImage, in one file or two, or a DICOM series.

    Args:
        path: of an image in two files its header (.hdr, .nhdr, .mhd); of a DICOM series its folder, or one of its files where a
            folder holds several.

    Returns:
        The header and the way to the voxels. Its affine has right angles: the network sees voxels as boxes.

    Raises:
        CaseError: for what cannot be an image, for a grid that places no voxel or is absurd, and for one that would not fit
            into memory.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import open_image
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     image = open_image(f"{folder}/images/phantom_000.nii.gz")
        ...     image.shape, image.channels, image.read().shape
        ((16, 14, 8), 1, (1, 16, 14, 8))
    """
    image = read_header(path)
    needed, free = BYTES_PER_VOXEL * math.prod(image.shape) * image.channels, free_memory()
    if needed > free:
        found = f"{' x '.join(map(str, image.shape))} voxels need {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free"
        raise CaseError(path, "a volume must fit into memory", found, "crop it, or take a larger machine")
    return image


def read_header(path: str) -> ImageFile:
    """As `open_image`, whether or not there is room for the voxels."""
    image = _open(path)
    spacing = spacing_of(image.affine)
    if not places_every_voxel(image.affine):
        found = f"it is {np.round(image.affine, 6).tolist()}"
        raise CaseError(path, "the affine must place every voxel", found, "correct the header")
    if not (spacing.min() >= SHORTEST and spacing.max() <= LONGEST):
        found = f"its edges have {', '.join(f'{edge:.4g}' for edge in spacing)} mm"
        raise CaseError(path, f"a voxel must measure {SHORTEST:g} to {LONGEST:g} mm", found, "correct the header")
    is_nifti = path.lower().endswith(NIFTI) and not Path(path).is_dir()
    if not is_nifti and (angle := shear(image.affine)) > MOST_SHEAR:
        found = f"they deviate by {angle:.2g} degrees, and the mask, which is NIfTI, would lie elsewhere in many programs"
        raise CaseError(
            path, "the axes must be at right angles", found, "resample it onto right angles, or convert it to NIfTI"
        )
    return _with_right_angles(image)


def is_image(file: Path) -> bool:
    """By its suffix; of a .hdr, which others have too, by what is in it or beside it."""
    name = file.name.lower()
    return is_header(str(file)) if name.endswith(PAIRS) else name.endswith(SUFFIXES)


def data_files(files: Iterable[Path]) -> set[Path]:
    """Those that hold the voxels of headers among `files`, and are no images of their own: these are never passed over."""
    second = {suffix: image_beside for suffix in PAIRS} | {suffix: file_named_by for suffix in IN_TWO_FILES}
    found = (find(str(file)) for file in files for suffix, find in second.items() if file.name.lower().endswith(suffix))
    return {path for path in map(Path, filter(None, found)) if not _is_image_of_its_own(path)}


def _is_image_of_its_own(file: Path) -> bool:
    with suppress(OSError):
        return is_image(file) or is_dicom(file)
    return False  # opening its header says why it cannot be read


def _open(path: str) -> ImageFile:
    place, name = Path(path), Path(path).name.lower()
    try:
        if place.is_dir():
            return open_series(path)
        if not place.is_file():
            raise CaseError(path, "an image must be a file or a DICOM folder", "there is none", "correct the path")
        if not place.stat().st_size:
            raise CaseError(path, "the file must be whole", "it is empty", "copy or export it again")
        if name.endswith(NIFTI):
            return open_nifti(path)
        if name.endswith(tuple(READERS)):
            return open_itk(path)
        return open_series(path)
    except CaseError:
        raise
    except OSError as error:
        raise CaseError(path, "an image must be readable", error.strerror or str(error), "check its permissions") from error
    except Exception as error:  # a header that no reader foresaw
        raise CaseError(
            path, "the header must make sense", f"reading it failed ({first_line(error)})", "export it again"
        ) from error


def _with_right_angles(image: ImageFile) -> ImageFile:
    angle = shear(image.affine)
    if angle <= SHEAR:
        return image
    notes = image.notes
    if angle > NOTICEABLE_SHEAR:
        found = f"they deviate by {angle:.2g} degrees; voxels are treated as boxes, the mask keeps the affine"
        notes = (*notes, Note("the axes should be at right angles", found, corrected=False))
    return replace(image, affine=right_angled(image.affine), notes=notes)
