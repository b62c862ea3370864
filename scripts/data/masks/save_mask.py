"""A mask in its image's own grid -> a NIfTI file beside which the image can be laid voxel by voxel."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImaged
from nibabel.arrayproxy import ArrayProxy

from ...basics.geometry import exactly_there
from ...basics.map_files import MAP_FILE
from ...files.atomic_write import atomic_write
from ..cases.case_error import CaseError
from ..cases.read_case import read_from
from ..formats.itk_file import READERS, itk_place
from ..formats.nifti_file import SUFFIXES as NIFTI
from ..formats.nifti_file import load_nifti
from ..formats.open_image import read_header

Place = tuple[tuple[int, ...], np.ndarray]  # (H, W, D) and affine, as a program reads them in a file
ON_IT, BUG = "a mask must lie exactly on its image", "report this file as a bug"
DESCRIPTION = b"SAM-3D segmentation"


class SaveMaskd(SaveImaged):
    """Writes `pred` (1, H, W, D) of label values to `output_dir`/`name`.nii.gz and adds its path as `mask`.

    `pred` must already be back in the grid of the file that `image` was read from. The header of a NIfTI image is used, so that
    mask and image agree to the last bit; else the place that the file has by its own reader. uint8, uint16 above 255.
    The file has its final name only when it is complete and was read back: its voxels by nibabel, its place by the programs in
    which people open image and mask. Programs that write masks themselves, such as MONAI Label, leave it out: they know by its
    class that it saves.

    Args:
        output_dir: made if it is not there.

    Raises:
        CaseError: when the mask would lie elsewhere than its image, and when it would be written outside `output_dir`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import ReadCased, SaveMaskd, find_images
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     (case,) = find_images(Path(folder) / "images", folder).cases
        ...     case = ReadCased(1, LABELS)(case)
        ...     saved = SaveMaskd(folder)({**case, "pred": case["image"] > 500})
        ...     Path(saved["mask"]).name
        'phantom_000_seg.nii.gz'
    """

    def __init__(self, output_dir: str | Path) -> None:
        super().__init__("pred", output_dir=output_dir)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        labels = data["pred"]
        labels = labels.to(torch.uint8 if labels.max() <= 255 else torch.uint16)
        return {**data, "mask": write_on_image(labels, data["image"], self.output_dir, f"{data['name']}.nii.gz")}


def write_on_image(volume: torch.Tensor, image: MetaTensor, output_dir: Path, name: str, slope: float = 1) -> str:
    """Writes `volume` (1, H, W, D) of whole numbers, which stand for `slope` times as much, to `output_dir`/`name`.

    volume: a MetaTensor, back in the grid of the file that `image` was read from.

    Returns the path. Raises CaseError as `SaveMaskd` does.
    """
    file = read_from(image)
    shape = tuple(int(n) for n in image.meta["stored_shape"])
    stored = np.asarray(image.meta["stored_affine"], dtype=float)
    if volume.shape != (1, *shape):
        found = f"the mask has the shape {tuple(volume.shape)}, the image {shape}"
        raise CaseError(file, "a mask must have its image's shape", found, BUG)
    affine = np.asarray(cast(MetaTensor, volume).affine, dtype=float)
    if not exactly_there(stored, affine, shape):
        found = f"its affine became {np.round(affine, 4).tolist()}, the image's is {np.round(stored, 4).tolist()}"
        raise CaseError(file, ON_IT, found, BUG)
    now = read_header(file)
    if now.shape != shape or not exactly_there(stored, now.affine, shape):
        found = f"its shape {now.shape} or its affine {np.round(now.affine, 4).tolist()} is another since then"
        raise CaseError(file, "a file must stay as it is while it is read", found, "start again")
    place = _place(file) or (now.shape, now.affine)
    path = (output_dir / name).resolve()
    if not path.is_relative_to(output_dir.resolve()):
        raise CaseError(file, f"masks stay inside {output_dir}", f"this one would be {path}", "rename the case")
    voxels = volume.as_subclass(torch.Tensor).cpu().numpy()[0]
    with atomic_write(path) as temporary:
        written = _on_nifti(file, voxels, slope) if _is_nifti(file) else _on_grid(place[1], voxels, slope)
        nib.save(written, temporary)
        _require_equal(load_nifti(temporary), written, slope, file)
        _require_place(temporary, file, place)
    return str(path)


def _is_nifti(file: str) -> bool:
    return file.lower().endswith(NIFTI) and not Path(file).is_dir()  # a folder of slices may have any name


def _place(file: str) -> Place | None:
    """By nibabel or ITK; None of DICOM, which ITK reads only with its pixels."""
    if _is_nifti(file):
        return _by_nibabel(file)
    return itk_place(file) if file.lower().endswith(tuple(READERS)) and not Path(file).is_dir() else None


def _by_nibabel(file: str | Path) -> Place:
    image = load_nifti(file)
    return (*image.shape, 1, 1)[:3], np.asarray(image.affine, dtype=float)


def _require_place(mask: Path, file: str, due: Place) -> None:
    """ITK is not asked about the mask of a NIfTI image: it finds in both what it makes of their common header."""
    readings = {"nibabel": _by_nibabel(mask)}
    if not _is_nifti(file) and str(mask).isprintable():  # ITK opens no other names
        try:
            readings["ITK"] = itk_place(mask, "NiftiImageIO")
        except RuntimeError as error:
            raise CaseError(file, ON_IT, "ITK cannot place the mask", "convert the image to NIfTI") from error
    for reader, (shape, affine) in readings.items():
        if tuple(shape) != tuple(due[0]) or not exactly_there(due[1], affine, due[0]):
            found = f"{reader} finds the mask of shape {shape} at {np.round(affine, 4).tolist()}"
            raise CaseError(file, ON_IT, f"{found}, the image of shape {due[0]} at {np.round(due[1], 4).tolist()}", BUG)


def says_that_it_is_ours(file: Path) -> bool:
    """By its header, as of a mask whose run was killed before its record was written."""
    try:
        return load_nifti(file).header["descrip"].item() == DESCRIPTION
    except Exception:  # whatever lies there, it is no mask
        return False


def is_own_map(file: Path) -> bool:
    """Of probability or uncertainty, beside a mask."""
    return MAP_FILE.search(file.name) is not None and says_that_it_is_ours(file)


def _on_nifti(file: str, voxels: np.ndarray, slope: float) -> nib.Nifti1Image:
    """With the geometry of the source's header, both transforms and their codes, without what concerns its intensities."""
    source = load_nifti(file)
    version = {kind.header_class.sizeof_hdr: kind for kind in (nib.Nifti1Image, nib.Nifti2Image)}
    kind = version[source.header.sizeof_hdr]  # in one file, also of an image in two
    header = kind.header_class(source.header.binaryblock, source.header.endianness, check=False)
    header["magic"], header["vox_offset"] = header.single_magic, 0
    header.set_data_dtype(voxels.dtype)
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = DESCRIPTION
    header["aux_file"] = b""
    mask = kind(voxels, source.affine, header)
    mask.header.set_slope_inter(slope, 0)  # an image begins without one, whatever its header had
    return mask


def _on_grid(affine: np.ndarray, voxels: np.ndarray, slope: float) -> nib.Nifti1Image:
    """affine: in mm, RAS+."""
    mask = nib.Nifti1Image(voxels, affine)
    mask.header.set_slope_inter(slope, 0)
    mask.set_sform(affine, code="scanner")
    mask.set_qform(affine, code="scanner")
    mask.header.set_xyzt_units("mm")
    mask.header["descrip"] = DESCRIPTION
    return mask


def _require_equal(saved: nib.Nifti1Pair, written: nib.Nifti1Pair, slope: float, file: str) -> None:
    """What lies on the disk is what was meant, to the last voxel."""
    affine, meant = (np.asarray(mask.affine, dtype=float) for mask in (saved, written))
    on_disk = cast(ArrayProxy, saved.dataobj)
    same = saved.shape == written.shape and np.allclose(affine, meant, rtol=1e-6, atol=1e-6)
    same = same and on_disk.slope == np.float32(slope)
    # Without the slope, since floating-point numbers of a large volume would take eight times the memory.
    if not same or not np.array_equal(on_disk.get_unscaled(), np.asanyarray(written.dataobj)):
        raise CaseError(file, "a mask must be on disk as it was computed", "reading it back gave another", "check the disk")
