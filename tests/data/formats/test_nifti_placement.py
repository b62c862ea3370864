"""A NIfTI header -> the place of its voxels that nibabel finds too; a header that leaves it open is refused."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from raw_nifti import Edit, write_nifti
from scipy.spatial.transform import Rotation

from scripts.data import CaseError
from scripts.data.formats.image_file import ImageFile
from scripts.data.formats.nifti_file import open_nifti

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix() * (0.7, 1.3, 2.9)
AFFINE[:3, 3] = (-91.3, 126.1, -72.7)
MIRRORED = AFFINE @ np.diag([-1, 1, 1, 1])


def opened(folder: Path, *edits: Edit, affine: np.ndarray = AFFINE) -> ImageFile:
    def edit(header: Any) -> None:
        for change in edits:
            change(header)

    return open_nifti(write_nifti(folder / "scan.nii", affine=affine, edit=edit))


def sform(affine: np.ndarray, code: int = 1) -> Edit:
    return lambda header: header.set_sform(affine, code)


def qform(affine: np.ndarray, code: int = 1) -> Edit:
    """Also sets the spacing."""
    return lambda header: header.set_qform(affine, code)


def field(name: str, value: Any) -> Edit:
    return lambda header: header.__setitem__(name, value)


def pixdim(start: int, *values: float) -> Edit:
    return lambda header: header["pixdim"].__setitem__(slice(start, start + len(values)), values)


def moved(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += mm
    return affine


NO_SFORM, NO_QFORM = field("sform_code", 0), field("qform_code", 0)
NEITHER = (NO_SFORM, NO_QFORM)


@pytest.mark.parametrize("affine", [AFFINE, MIRRORED, np.eye(4)], ids=["oblique", "mirrored", "unity"])
@pytest.mark.parametrize(
    "edits",
    [
        (),
        (NO_QFORM,),
        (NO_SFORM,),
        (NO_SFORM, field("qform_code", 2)),
        (NO_QFORM, field("sform_code", 5)),
        (pixdim(4, 0.0, 0.0, 0.0, 0.0),),
    ],
    ids=["both", "sform alone", "qform alone", "aligned", "template", "no spacing of time"],
)
def test_a_sound_header_is_placed_as_nibabel_places_it_without_a_word(
    tmp_path: Path, affine: np.ndarray, edits: tuple[Edit, ...]
) -> None:
    image = opened(tmp_path, *edits, affine=affine)
    np.testing.assert_array_equal(image.affine, nib.load(image.path).affine)
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    assert image.notes == ()


SHEARED = AFFINE @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
ODD = {
    "neither": (NEITHER, "neither sform nor qform is set", False),
    "negative spacing alone": ((*NEITHER, pixdim(1, -0.7)), "neither sform nor qform is set", False),
    "negative spacing": ((pixdim(1, -0.7),), "the signs are ignored", True),
    "negative spacing of a qform": ((NO_SFORM, pixdim(2, -1.3, -2.9)), "the signs are ignored", True),
    "spacing 0 beside an sform": ((NO_QFORM, pixdim(1, 0, 0, 0)), "the sform has [0.7, 1.3, 2.9] mm", True),
    "spacing 0 beside both": ((pixdim(3, 0),), "the sform has [0.7, 1.3, 2.9] mm", True),
    "NaN spacing beside an sform": ((NO_QFORM, pixdim(1, np.nan)), "it says [nan", True),
    "other spacing beside an sform": ((NO_QFORM, pixdim(1, 3.5)), "its spacing field says [3.5, 1.3", False),
    "broken quaternion": ((field("quatern_b", 2),), "the sform is used", True),
    "NaN quaternion": ((field("quatern_b", np.nan),), "the sform is used", True),
    "NaN offset": ((field("qoffset_x", np.nan),), "the sform is used", True),
    "meaningless qfac beside an sform": ((pixdim(0, -3),), "the sform is used", True),
    "moved": ((sform(moved(5)),), "they differ by up to 5 mm; the sform is used", False),
    "sheared": ((sform(SHEARED),), "they differ by up to", False),
    "sheared, sform alone": ((sform(SHEARED), NO_QFORM, pixdim(1, 0.7, 1.9)), "its spacing field says [0.7, 1.9, 2.9]", False),
    "template, moved": ((sform(moved(50), 4),), "they differ by up to 50 mm", False),
    "template, mirrored": ((sform(MIRRORED, 3),), "the mask keeps both", False),
    "template, other spacing": ((sform(AFFINE @ np.diag([2, 2, 2, 1]), 3),), "the mask keeps both", False),
}


@pytest.mark.parametrize(("edits", "found", "corrected"), ODD.values(), ids=ODD)
def test_what_is_odd_is_noted_and_placed_as_nibabel_places_it(
    tmp_path: Path, edits: tuple[Edit, ...], found: str, corrected: bool
) -> None:
    image = opened(tmp_path, *edits)
    np.testing.assert_allclose(image.affine, nib.load(image.path).affine, rtol=1e-6, atol=1e-6)
    assert [note.corrected for note in image.notes if found in note.found] == [corrected]


@pytest.mark.parametrize("code", [0, 3])
def test_a_qfac_that_says_nothing_is_1(tmp_path: Path, code: int) -> None:
    image = opened(tmp_path, NO_SFORM, pixdim(0, code))
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    assert image.notes == ()


REFUSED = {
    "spacing 0": ((*NEITHER, pixdim(1, 0, 0, 0)), "a voxel must have a size; the spacing is [0.0, 0.0, 0.0]"),
    "NaN spacing": ((*NEITHER, pixdim(2, np.nan)), "a voxel must have a size"),
    "infinite spacing": ((*NEITHER, pixdim(2, np.inf)), "a voxel must have a size"),
    "spacing 0 of a qform": ((NO_SFORM, pixdim(2, 0)), "must place every voxel; the qform's spacing is"),
    "NaN spacing of a qform": ((NO_SFORM, pixdim(2, np.nan)), "must place every voxel; the qform's spacing is"),
    "NaN quaternion": ((NO_SFORM, field("quatern_c", np.nan)), "must place every voxel"),
    "broken quaternion": ((NO_SFORM, field("quatern_b", 2)), "w2 should be positive"),
    "meaningless qfac": ((NO_SFORM, pixdim(0, -3)), "the qform is broken"),
    "NaN sform": ((field("srow_y", np.nan),), "the affine must place every voxel; it is [["),
    "infinite sform": ((NO_QFORM, field("srow_y", np.inf)), "the affine must place every voxel; it is [["),
    "two axes in one direction": ((field("srow_x", [1, 1, 0, 0]), field("srow_y", 0)), "the affine must place every voxel"),
    "no extent": ((field("srow_x", 0), field("srow_y", 0), field("srow_z", 0)), "the affine must place every voxel"),
    "mirrored": ((sform(MIRRORED),), "which side is left is open"),
    "other axes": ((sform(AFFINE[:, [1, 0, 2, 3]]),), "which side is left is open"),
    "other spacing": ((sform(AFFINE @ np.diag([1, 1, 1.1, 1])),), "their spacings are [0.7, 1.3, 3.19] and [0.7, 1.3, 2.9] mm"),
    "both of a template, mirrored": ((sform(MIRRORED, 4), field("qform_code", 4)), "which side is left is open"),
    "unit 4": ((field("xyzt_units", 4),), "the header's code of units is 4, which means nothing"),
    "unit 7": ((field("xyzt_units", 15),), "the header's code of units is 7, which means nothing"),
    "sform code": ((field("sform_code", 9),), "the sform_code is 9, which means nothing"),
    "qform code": ((field("qform_code", -1),), "the qform_code is -1, which means nothing"),
}


@pytest.mark.parametrize(("edits", "said"), REFUSED.values(), ids=REFUSED)
def test_a_header_that_leaves_the_place_open_is_refused_by_name(tmp_path: Path, edits: tuple[Edit, ...], said: str) -> None:
    with pytest.raises(CaseError) as caught:
        opened(tmp_path, *edits)
    assert said in str(caught.value)
    assert caught.value.file == str(tmp_path / "scan.nii")


@pytest.mark.parametrize("edits", [(), (NO_QFORM,), (NO_SFORM,), NEITHER], ids=["both", "sform", "qform", "neither"])
@pytest.mark.parametrize(("code", "scale"), [(1, 1000.0), (2, 1.0), (3, 0.001), (0, 1.0)])
def test_lengths_are_brought_to_mm_whatever_the_unit(tmp_path: Path, edits: tuple[Edit, ...], code: int, scale: float) -> None:
    in_unit = np.diag([1 / scale] * 3 + [1]) @ AFFINE
    image = opened(tmp_path, *edits, field("xyzt_units", code | 8), affine=in_unit)  # 8: seconds
    expected = nib.load(image.path).affine
    np.testing.assert_allclose(image.affine, np.diag([scale] * 3 + [1]) @ expected, rtol=1e-6, atol=1e-6)
    if edits != NEITHER:
        np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-4, atol=1e-4)
    assert [note.corrected for note in image.notes if note.rule == "lengths are in mm"] == [True] * (code in (1, 3))


@pytest.mark.parametrize(("edge", "doubted"), [(0.04, True), (0.06, False), (24.0, False), (26.0, True)])
def test_an_unusual_spacing_without_a_unit_is_doubted(tmp_path: Path, edge: float, doubted: bool) -> None:
    affine = np.diag([1.0, edge, 1.0, 1.0])
    notes = opened(tmp_path, field("xyzt_units", 0), affine=affine).notes
    assert [note.rule for note in notes] == ["the header should say its unit of length"] * doubted
    assert opened(tmp_path, affine=affine).notes == ()  # of one that says mm


@pytest.mark.parametrize(("mm", "noted"), [(0.06, False), (0.08, True)])
def test_sform_and_qform_agree_within_a_tenth_of_a_voxel(tmp_path: Path, mm: float, noted: bool) -> None:
    assert bool(opened(tmp_path, sform(moved(mm))).notes) == noted
