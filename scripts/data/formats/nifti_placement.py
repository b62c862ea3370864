"""A NIfTI header, which may place its voxels in three ways -> the one that holds, and what is odd about it."""

import nibabel as nib
import numpy as np

from ...basics.geometry import axcodes, displacement, places_every_voxel, same_place, spacing_of
from ..cases.case_error import CaseError, first_line
from .image_file import Note

MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # of NIfTI's codes of units: unknown, metre, millimetre, micrometre
USUAL = (0.05, 25.0)  # mm, of an edge: a header that says no unit, as many do, means mm
CODES = range(6)  # of transforms: nibabel takes any other for 0
TEMPLATE = 3  # codes from here on: the sform leads to an atlas, where the qform stays in the scanner
REMEDY = "correct the header"


def place(file: str, header: nib.Nifti1Header, shape: tuple[int, ...]) -> tuple[np.ndarray, list[Note]]:
    """The affine in mm (RAS+), as nibabel chooses it: the sform if its code is set, else the qform, else the storage order.

    header: as it lies in the file; nibabel's own loading puts 1 where a spacing is 0.
    Both transforms are kept in the mask, so image and mask lie together in every program; what is refused here is a header
    that leaves open which side is left or how large a voxel is.
    """
    notes: list[Note] = []
    header = _as_the_standard_reads_it(file, header, notes)
    scale = _millimetres(file, header, notes)
    pixdim = np.asarray(header["pixdim"][1:4], dtype=float)
    has_pixdim = bool(np.isfinite(pixdim).all() and pixdim.all())
    sform = header.get_sform(coded=True)[0]
    qform = _qform(file, header, sform is not None, has_pixdim, notes)
    affine = sform if sform is not None else qform
    if affine is None:
        if not has_pixdim:
            raise CaseError(file, "a voxel must have a size", f"the spacing is {header['pixdim'][1:4].tolist()}", REMEDY)
        affine = header.get_base_affine()
        found = "neither sform nor qform is set: the order of storage is taken for right to left, back to front, up"
        notes.append(Note("the header should say how the patient lies", found, corrected=False))
    affine = np.array(affine, dtype=float)
    affine[:3] *= scale
    if not places_every_voxel(affine):
        raise CaseError(file, "the affine must place every voxel", f"it is {np.round(affine, 6).tolist()}", REMEDY)
    if not _unit(header) and not (USUAL[0] <= spacing_of(affine).min() and spacing_of(affine).max() <= USUAL[1]):
        found = f"it does not; mm are taken, which makes the spacing {_millimetre_list(affine)} mm"
        notes.append(Note("the header should say its unit of length", found, corrected=False))
    if sform is not None and qform is not None:
        _compare(file, header, affine, np.diag([scale, scale, scale, 1.0]) @ qform, shape[:3], notes)
    elif sform is not None and not has_pixdim:
        found = f"it says {header['pixdim'][1:4].tolist()}; the sform has {_millimetre_list(affine)} mm"
        notes.append(Note("the spacing must not be 0", found, corrected=True))
    elif not np.allclose(pixdim * scale, spacing_of(affine), rtol=0.01):
        field = np.round(pixdim * scale, 4).tolist()
        found = f"its spacing field says {field} mm; the sform's {_millimetre_list(affine)} mm are used"
        notes.append(Note("the header should give one spacing", found, corrected=False))
    return affine, notes


def _as_the_standard_reads_it(file: str, header: nib.Nifti1Header, notes: list[Note]) -> nib.Nifti1Header:
    """Spacings have no sign, and of `qfac` only a -1 means something (nifti1.h); nibabel repairs them so, too."""
    for name in ("sform_code", "qform_code"):
        if int(header[name]) not in CODES:
            found = f"the {name} is {int(header[name])}, which means nothing"
            raise CaseError(file, f"codes of transforms run from 0 to {CODES[-1]}", found, REMEDY)
    header = header.copy()
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    if (spacing < 0).any():
        found = f"it says {spacing.tolist()}; the signs are ignored"
        notes.append(Note("the spacing must be positive", found, corrected=True))
        header["pixdim"][1:4] = np.abs(spacing)
    if header["pixdim"][0] >= 0:
        header["pixdim"][0] = 1
    return header


def _unit(header: nib.Nifti1Header) -> int:
    return int(header["xyzt_units"]) & 7


def _millimetres(file: str, header: nib.Nifti1Header, notes: list[Note]) -> float:
    code = _unit(header)
    if code not in MILLIMETRES:
        raise CaseError(file, "lengths must be in mm", f"the header's code of units is {code}, which means nothing", REMEDY)
    if MILLIMETRES[code] != 1:
        notes.append(Note("lengths are in mm", f"the header's are {'metres' if code == 1 else 'micrometres'}", corrected=True))
    return MILLIMETRES[code]


def _qform(file: str, header: nib.Nifti1Header, has_sform: bool, has_pixdim: bool, notes: list[Note]) -> np.ndarray | None:
    """None if it is not set, or broken beside an sform that holds."""
    if not int(header["qform_code"]) > 0:
        return None
    try:
        qform = header.get_qform(coded=True)[0] if has_pixdim else None
    except Exception as error:  # quaternions that are none
        if not has_sform:
            raise CaseError(
                file, "the affine must place every voxel", f"the qform is broken ({first_line(error)})", REMEDY
            ) from error
        qform = None
    if qform is not None and places_every_voxel(qform):
        return qform
    if not has_sform:
        found = f"the qform's spacing is {header['pixdim'][1:4].tolist()}"
        raise CaseError(file, "the affine must place every voxel", found, REMEDY)
    if has_pixdim:
        notes.append(Note("the qform must place every voxel", "it does not; the sform is used", corrected=True))
    return None


def _compare(
    file: str, header: nib.Nifti1Header, sform: np.ndarray, qform: np.ndarray, shape: tuple[int, ...], notes: list[Note]
) -> None:
    if same_place(sform, qform, shape):
        return
    rule = "sform and qform must place the voxels in one way"
    found = f"they differ by up to {displacement(sform, qform, shape):.3g} mm"
    if not (int(header["sform_code"]) >= TEMPLATE > int(header["qform_code"])):
        if axcodes(sform) != axcodes(qform):
            found += f", their axes point to {axcodes(sform)} and {axcodes(qform)}"
            raise CaseError(file, rule, found, "remove the wrong one: which side is left is open")
        if not np.allclose(spacing_of(sform), spacing_of(qform), rtol=0.01):
            found += f", their spacings are {_millimetre_list(sform)} and {_millimetre_list(qform)} mm"
            raise CaseError(file, rule, found, "remove the wrong one")
    notes.append(Note(rule, f"{found}; the sform is used, the mask keeps both", corrected=False))


def _millimetre_list(affine: np.ndarray) -> list[float]:
    return np.round(spacing_of(affine), 4).tolist()
