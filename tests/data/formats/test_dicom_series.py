"""A DICOM series lies where ITK says it lies, with ITK's intensities, or is refused in words."""

import os
import re
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantom import AXIAL, OBLIQUE, POSITION, SHAPE, SPACING, VOXELS, Edit, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_modality_lut
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    NuclearMedicineImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from scripts.basics.case import Case, Listed
from scripts.data import CaseError, CaseReport, ReadCased, check_headers
from scripts.data.formats import dicom_pixels, dicom_slice
from scripts.data.formats.dicom_series import open_series, series_in
from scripts.data.formats.image_file import ImageFile


def keyword(name: str, *values: object) -> Edit:
    """Sets an element: to one value in all slices, or to one value in each."""

    def edit(dataset: FileDataset, k: int) -> None:
        setattr(dataset, name, values[k % len(values)])

    return edit


def assert_agrees_with_itk(folder: Path) -> None:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    expected = reader.Execute()
    image = open_series(str(folder))
    assert image.shape == expected.GetSize()
    voxels = image.read()
    assert voxels.shape == (1, *image.shape)
    assert voxels.dtype == np.float32
    np.testing.assert_array_equal(voxels[0], sitk.GetArrayFromImage(expected).T)
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 4), (3, 2, 1)):
        lps = expected.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((image.affine @ [*index, 1])[:3], lps * np.array([-1, -1, 1]), atol=1e-5)


@pytest.mark.parametrize("across", [AXIAL, OBLIQUE, AXIAL[::-1], -OBLIQUE], ids=["axial", "oblique", "down", "turned"])
def test_voxels_lie_where_itk_says_and_have_its_intensities(tmp_path: Path, across: np.ndarray) -> None:
    write_series(tmp_path, across=across)
    assert_agrees_with_itk(tmp_path)


def test_places_and_not_names_or_numbers_order_the_slices(tmp_path: Path) -> None:
    write_series(tmp_path / "plain", across=OBLIQUE)
    names = ["c.dcm", "IM7", "a.ima", "z.DCM", "b.dcm"]
    write_series(tmp_path / "shuffled", across=OBLIQUE, names=names, edit=keyword("InstanceNumber", 4, 1, 5, 3, 2))
    assert_agrees_with_itk(tmp_path / "shuffled")
    plain, shuffled = open_series(str(tmp_path / "plain")), open_series(str(tmp_path / "shuffled"))
    np.testing.assert_array_equal(plain.affine, shuffled.affine)
    np.testing.assert_array_equal(plain.read(), shuffled.read())
    assert [Path(file).name for file in shuffled.files] == names


KINDS = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
    "NM": NuclearMedicineImageStorage,
    "OT": SecondaryCaptureImageStorage,
}


@pytest.mark.parametrize("modality", KINDS)
def test_each_slice_is_scaled_by_its_own_slope(tmp_path: Path, modality: str) -> None:
    def scaled(dataset: FileDataset, k: int) -> None:
        dataset.SOPClassUID, dataset.Modality = KINDS[modality], modality
        dataset.RescaleSlope, dataset.RescaleIntercept = [1, 0.3, 2.71828, 0.01, 7][k], [0, -1024, 0.5, 0, 2][k]

    files = write_series(tmp_path, edit=scaled)
    expected = np.stack([apply_modality_lut(slice.pixel_array, slice) for slice in map(dcmread, files)])
    np.testing.assert_allclose(open_series(str(tmp_path)).read()[0], expected.T, rtol=1e-6)


def test_stored_bits_may_differ_between_slices(tmp_path: Path) -> None:
    def narrow(dataset: FileDataset, k: int) -> None:
        if k % 2:
            dataset.BitsStored, dataset.HighBit = 13, 12

    write_series(tmp_path, edit=narrow)
    np.testing.assert_array_equal(open_series(str(tmp_path)).read()[0], VOXELS - 1024.0)


def compress(file: Path, syntax: str) -> None:
    """Its pixels replaced by compressed ones, everything else left."""
    dataset = dcmread(file)
    if syntax in ("JPEG", "JPEG2000"):
        writer = sitk.ImageFileWriter()
        writer.SetUseCompression(True)
        writer.SetCompressor(syntax)
        writer.SetFileName(str(file))
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array))
        compressed = dcmread(file)
        dataset.PixelData, dataset.file_meta = compressed.PixelData, compressed.file_meta
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(file)


# columns, rows, slices: a JPEG 2000 encoder wants more than VOXELS has
LARGE = np.random.default_rng(1).integers(-1000, 3000, (40, 36, 3)).astype(np.int16)
COMPRESSED = {
    "RLE": (RLELossless, RLELossless),
    "JPEG-LS": (JPEGLSLossless, JPEGLSLossless),
    "JPEG lossless": ("JPEG", JPEGLosslessSV1),
    "JPEG 2000": ("JPEG2000", JPEG2000Lossless),
}


@pytest.mark.parametrize(("how", "syntax"), COMPRESSED.values(), ids=COMPRESSED)
def test_compressed_slices_hold_the_same_voxels(tmp_path: Path, how: str, syntax: str) -> None:
    for file in write_series(tmp_path, LARGE, edit=keyword("RescaleSlope", 1, 2, 0.25)):
        compress(file, how)
        assert dcmread(file).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(open_series(str(tmp_path)).read()[0], LARGE * [1, 2, 0.25] - 1024)


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept", "both"])
@pytest.mark.parametrize("how", [None, *(how for how, _ in COMPRESSED.values())], ids=["raw", *COMPRESSED])
def test_a_slope_or_an_intercept_alone_counts_in_every_transfer_syntax(tmp_path: Path, how: str | None, missing: str) -> None:
    slopes = (1, 0.125, 2)

    def alone(dataset: FileDataset, k: int) -> None:
        dataset.RescaleSlope = slopes[k]
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            if missing in (keyword, "both"):
                delattr(dataset, keyword)

    for file in write_series(tmp_path, LARGE, edit=alone):
        if how:
            compress(file, how)
    expected = LARGE * (slopes if missing == "RescaleIntercept" else (1, 1, 1)) - (1024 if missing == "RescaleSlope" else 0)
    np.testing.assert_array_equal(open_series(str(tmp_path)).read()[0], expected)


@pytest.mark.parametrize("how", [how for how, _ in COMPRESSED.values()], ids=COMPRESSED)
@pytest.mark.parametrize("size", [{"Columns": 39}, {"Rows": 35}])
def test_compressed_pixels_of_another_size_than_the_header_says_are_refused(
    tmp_path: Path, how: str, size: dict[str, int]
) -> None:
    for file in write_series(tmp_path, LARGE):
        compress(file, how)
        dataset = dcmread(file)
        dataset.update(size)
        dataset.save_as(file)
    with pytest.raises(CaseError, match=r"slice0\.dcm: (the file must be whole|pixel data must be as long)"):
        open_series(str(tmp_path)).read()


@pytest.mark.parametrize("padding", [-2000, 63536, 20000])
def test_padding_gets_the_closest_value_of_the_others(tmp_path: Path, padding: int) -> None:
    voxels = VOXELS.copy()
    voxels[:2] = padding - 2**16 * (padding > 2**15)
    write_series(
        tmp_path, voxels, edit=lambda dataset, k: dataset.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
    )
    found = open_series(str(tmp_path)).read()[0]
    np.testing.assert_array_equal(found[2:], VOXELS[2:] - 1024.0)
    assert set(np.unique(found[:2])) == {(VOXELS[2:].max() if padding == 20000 else VOXELS[2:].min()) - 1024}


def test_a_range_of_padding_counts(tmp_path: Path) -> None:
    voxels = VOXELS.copy()
    voxels[0], voxels[1] = -3000, -2000
    edits = (keyword("PixelPaddingValue", -3000), keyword("PixelPaddingRangeLimit", -2000))
    write_series(tmp_path, voxels, edit=lambda dataset, k: [edit(dataset, k) for edit in edits])
    assert open_series(str(tmp_path)).read().min() == VOXELS[2:].min() - 1024


@pytest.mark.parametrize("uid", ["", None])
def test_a_series_without_uid_is_read_where_it_is_alone(tmp_path: Path, uid: str | None) -> None:
    def unnamed(dataset: FileDataset, k: int) -> None:
        dataset.SeriesInstanceUID = uid
        if uid is None:
            del dataset.SeriesInstanceUID

    files = write_series(tmp_path, edit=unnamed)
    for path in (tmp_path, files[2]):
        image = open_series(str(path))
        np.testing.assert_array_equal(image.read()[0], VOXELS - 1024.0)
        assert image.series is None
    write_series(tmp_path, VOXELS[..., :2], names=["x0.dcm", "x1.dcm"])
    with pytest.raises(CaseError, match="must hold one DICOM series; it holds 2"):
        open_series(str(tmp_path))


@pytest.mark.parametrize("numbers", [(4, 1, 5, 3, 2), (1, 2, 3, 4, 5), (5, 4, 3, 2, 1)])
def test_numbers_in_any_order_are_not_taken_for_two_acquisitions(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    write_series(tmp_path, edit=keyword("InstanceNumber", *numbers))
    assert open_series(str(tmp_path)).notes == ()


def test_an_acquisition_for_each_slice_or_slab_is_not_doubted(tmp_path: Path) -> None:
    write_series(tmp_path / "each", edit=keyword("AcquisitionNumber", 1, 2, 3, 4, 5))
    write_series(tmp_path / "slabs", edit=keyword("AcquisitionNumber", 1, 1, 2, 2, 2))
    assert open_series(str(tmp_path / "each")).notes == open_series(str(tmp_path / "slabs")).notes == ()


def test_files_without_suffix_or_preamble_are_read(tmp_path: Path) -> None:
    def bare(dataset: FileDataset, k: int) -> None:
        if k % 2:
            dataset.preamble = None
            del dataset.file_meta

    write_series(tmp_path, names=[f"IM{k}" for k in range(5)], edit=bare)
    np.testing.assert_array_equal(open_series(str(tmp_path)).read()[0], VOXELS - 1024.0)


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    write_series(tmp_path, names=[f"seg{k}.dcm" for k in range(5)], edit=keyword("SOPClassUID", SegmentationStorage))
    write_series(tmp_path / "sub")
    shutil.copy(files[0], tmp_path / "DICOMDIR")
    shutil.copy(files[0], tmp_path / ".hidden.dcm")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").touch()
    assert open_series(str(tmp_path)).files == tuple(map(str, files))


def test_links_are_not_followed_and_mentioned(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a")
    elsewhere = write_series(tmp_path / "b")
    (tmp_path / "a" / "z.dcm").symlink_to(elsewhere[0])
    image = open_series(str(tmp_path / "a"))
    assert image.files == tuple(map(str, files))
    assert "1 symbolic links" in image.notes[0].found


def test_several_series_are_listed_and_a_file_chooses_one(tmp_path: Path) -> None:
    first = write_series(tmp_path)
    second = write_series(tmp_path, VOXELS[..., :3] + 1, names=["x0", "x1", "x2"], edit=keyword("SeriesDescription", "head"))
    with pytest.raises(CaseError) as caught:
        open_series(str(tmp_path))
    for words in ("it holds 2: series 3 'thorax' (5 slices, such as slice0.dcm)", "series 3 'head' (3 slices, such as x0)"):
        assert words in caught.value.found
    assert open_series(str(first[2])).files == tuple(map(str, first))
    chosen = open_series(str(second[1]))
    assert (chosen.path, chosen.files) == (str(second[1]), tuple(map(str, second)))
    np.testing.assert_array_equal(chosen.read()[0], VOXELS[..., :3] - 1023.0)


def test_one_slice_is_as_thick_as_its_header_says_and_in_doubt(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS[..., :1])
    image = open_series(str(tmp_path))
    expected = np.diag([-SPACING[1], -SPACING[0], SPACING[2], 1])
    expected[:3, 3] = POSITION * np.array([-1, -1, 1])
    np.testing.assert_allclose(image.affine, expected)
    assert [("SliceThickness of 2.5 mm" in note.found, note.corrected) for note in image.notes] == [(True, False)]


def at(z: Callable[[int], float], x: Callable[[int], float] = lambda k: 0) -> Edit:
    def edit(dataset: FileDataset, k: int) -> None:
        dataset.ImagePositionPatient = [x(k), 0, z(k)]

    return edit


def only(k: int, edit: Edit) -> Edit:
    return lambda dataset, index: edit(dataset, index) if index == k else None


def without(name: str) -> Edit:
    return lambda dataset, k: delattr(dataset, name)


def colour(dataset: FileDataset, k: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"


def frames(dataset: FileDataset, k: int) -> None:
    dataset.SOPClassUID, dataset.NumberOfFrames = EnhancedCTImageStorage, 40


REFUSED: dict[str, tuple[Edit, str]] = {
    "a missing slice": (
        at(lambda k: 2.5 * (k + (k > 2))),
        r"slice2\.dcm and slice3\.dcm lie 5 mm apart.* 1 seems to be missing",
    ),
    "two gaps": (at(lambda k: 2.5 * (k + 3 * (k > 0) + (k > 2))), r"slice0\.dcm and .*; 3 seem to be missing.*2 such places"),
    "uneven steps": (at(lambda k: [0, 2, 4, 6.13, 8.13][k]), "lie 2.13 mm apart, others 2 mm"),
    "two at one place": (at(lambda k: 2.5 * max(k, 1)), r"slice0\.dcm and slice1\.dcm lie at the same place;"),
    "a tilted gantry": (at(lambda k: 2.5 * k, lambda k: 0.03 * k), r"slice4\.dcm is shifted by 0\.12 mm in its plane"),
    "a shifted slice": (at(lambda k: 2.5 * k, lambda k: 0.5 * (k == 2)), r"slice2\.dcm is shifted by 0\.5 mm"),
    "a localizer": (
        only(4, keyword("ImageOrientationPatient", [0, 1, 0, 0, 0, -1])),
        r"same ImageOrientationPatient; .* in slice4\.dcm",
    ),
    "no right angle": (keyword("ImageOrientationPatient", [1, 0, 0, 0.1, 0.99, 0]), r"slice0\.dcm: .*perpendicular"),
    "no unit vector": (keyword("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]), r"slice0\.dcm: .*unit vectors"),
    "two sizes": (only(3, keyword("Rows", 9)), r"same Rows; it is 6 in slice0\.dcm, 9 in slice3\.dcm"),
    "two spacings": (only(3, keyword("PixelSpacing", [0.9, 0.8])), r"same PixelSpacing; .*slice3\.dcm"),
    "two frames of reference": (only(3, keyword("FrameOfReferenceUID", "1.2.3")), "same FrameOfReferenceUID"),
    "two kinds of image": (only(3, keyword("SOPClassUID", PositronEmissionTomographyImageStorage)), "same SOPClassUID"),
    "two interpretations": (only(3, keyword("PhotometricInterpretation", "MONOCHROME1")), "same PhotometricInterpretation"),
    "colours": (colour, r"slice0\.dcm: .*one grey value; it has 3 samples.* RGB"),
    "a palette": (keyword("PhotometricInterpretation", "PALETTE COLOR"), "one grey value"),
    "several frames": (frames, r"slice0\.dcm: every frame must say.*it holds 40 frames without a place.*; convert it to NIfTI"),
    "a table": (
        keyword("ModalityLUTSequence", [Dataset()]),
        r"slice0\.dcm: .*it has a table",
    ),
    "high bits": (keyword("HighBit", 14), "the highest is 14"),
    "no size": (keyword("Columns", 0), "0 columns"),
    "no spacing": (keyword("PixelSpacing", [0, 0.7]), "must have a size"),
    "no series": (only(1, without("SeriesInstanceUID")), "one DICOM series; it holds 2: .*such as slice1"),
    **{
        f"no {name}": (only(2, without(name)), rf"slice2\.dcm: .*{name} is missing")
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "BitsStored")
    },
    "an empty position": (only(2, keyword("ImagePositionPatient", None)), r"slice2\.dcm: .*ImagePositionPatient is missing"),
    "half a position": (only(2, keyword("ImagePositionPatient", [1, 2])), r"slice2\.dcm: .*not 3 finite numbers"),
    "structures alone": (keyword("SOPClassUID", RTStructureSetStorage), "must hold DICOM images"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_slices_that_are_no_regular_grid_are_refused_in_a_line(tmp_path: Path, why: str) -> None:
    edit, words = REFUSED[why]
    write_series(tmp_path, edit=edit)
    with warnings.catch_warnings(), pytest.raises(CaseError, match=words) as caught:
        warnings.simplefilter("error")
        open_series(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path) in caught.value.file


def test_a_copy_of_a_slice_is_refused_as_a_copy(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    shutil.copy(files[3], tmp_path / "slice3 (1).dcm")
    with pytest.raises(CaseError, match=r"slice3 \(1\)\.dcm and slice3\.dcm lie at the same place and are copies"):
        open_series(str(tmp_path))


def test_one_slice_of_unknown_thickness_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS[..., :1], edit=without("SliceThickness"))
    with pytest.raises(CaseError, match=r"slice0\.dcm: .*neither SpacingBetweenSlices nor SliceThickness"):
        open_series(str(tmp_path))


def test_rounded_headers_are_a_regular_grid(tmp_path: Path) -> None:
    def rounded(dataset: FileDataset, k: int) -> None:
        dataset.ImagePositionPatient = [round(float(x), 2) for x in POSITION + np.cross(*OBLIQUE) * 0.625 * k]
        dataset.ImageOrientationPatient = [round(float(x), 4) for x in OBLIQUE.flatten()]

    write_series(tmp_path, np.zeros((4, 4, 200), np.int16), OBLIQUE, edit=rounded)
    spacing = np.linalg.norm(open_series(str(tmp_path)).affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, [SPACING[1], SPACING[0], 0.625], rtol=1e-3)


@pytest.mark.parametrize("how", [None, RLELossless, JPEGLSLossless, "JPEG", "JPEG2000"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9, 0.995])
def test_a_truncated_slice_is_refused_by_name(tmp_path: Path, how: str | None, part: float) -> None:
    file = write_series(tmp_path, LARGE)[2]
    if how:
        compress(file, how)
    os.truncate(file, int(file.stat().st_size * part))
    with warnings.catch_warnings(), pytest.raises(CaseError, match=r"slice2\.dcm"):
        warnings.simplefilter("error")
        open_series(str(tmp_path)).read()


@pytest.mark.parametrize("how", [RLELossless, JPEGLSLossless, "JPEG", "JPEG2000"])
@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_a_compressed_stream_that_ends_early_is_refused_by_name(tmp_path: Path, how: str, part: float) -> None:
    file = write_series(tmp_path, LARGE)[1]
    compress(file, how)
    dataset = dcmread(file)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[: int(len(stream) * part)]])
    dataset.save_as(file)
    with pytest.raises(CaseError, match=r"slice1\.dcm: the file must be whole"):
        open_series(str(tmp_path)).read()


@pytest.mark.parametrize("missing", [2, 80])
def test_pixels_that_are_too_few_are_refused_by_name(tmp_path: Path, missing: int) -> None:
    write_series(tmp_path, edit=only(1, lambda dataset, k: setattr(dataset, "PixelData", dataset.PixelData[:-missing])))
    image = open_series(str(tmp_path))
    with pytest.raises(CaseError, match=r"slice1\.dcm: the file must be whole.*bytes") as caught:
        image.read()
    assert caught.value.file == image.files[1]


@pytest.mark.parametrize("spare", [2, 12, 84])
def test_pixels_that_are_more_than_the_header_says_are_refused_by_name(tmp_path: Path, spare: int) -> None:
    write_series(tmp_path, edit=only(1, lambda dataset, k: setattr(dataset, "PixelData", dataset.PixelData + bytes(spare))))
    with pytest.raises(CaseError, match=rf"slice1\.dcm: pixel data must be as long.*there are {84 + spare} bytes, .* need 84"):
        open_series(str(tmp_path)).read()


def test_the_byte_that_makes_the_number_of_bytes_even_does_no_harm(tmp_path: Path) -> None:
    def narrow(dataset: FileDataset, k: int) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = odd[:, :, k].T.tobytes() + b"\0"

    odd = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    write_series(tmp_path, odd, edit=narrow)
    np.testing.assert_array_equal(open_series(str(tmp_path)).read()[0], odd - 1024.0)


JUNK = {"empty": b"", "text": b"not an image", "magic": b"\0" * 128 + b"DICM", "zeros": b"\0" * 500}


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
def test_a_file_that_only_claims_to_be_dicom_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    write_series(tmp_path)
    (tmp_path / "bad.dcm").write_bytes(content)
    with pytest.raises(CaseError, match=r"bad\.dcm: ") as caught:
        open_series(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["notes.txt", "seg.dcm"])
def test_a_file_that_is_no_image_chooses_no_series(tmp_path: Path, name: str) -> None:
    write_series(tmp_path)
    write_series(tmp_path, VOXELS[..., :1], names=["seg.dcm"], edit=keyword("SOPClassUID", SegmentationStorage))
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(CaseError, match=re.escape(name)):
        open_series(str(tmp_path / name))


def test_folders_of_one_series_are_known_by_its_uid(tmp_path: Path) -> None:
    uid = generate_uid()
    for name in ("a", "b", "c"):
        write_series(tmp_path / name, edit=keyword("SeriesInstanceUID", generate_uid() if name == "b" else uid))
    a, b, c = (open_series(str(tmp_path / name)).series for name in "abc")
    assert a == c == uid
    assert b != uid


def test_the_series_of_a_folder_is_known_also_where_it_is_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    uid = open_series(str(tmp_path / "series")).series
    files[2].unlink()
    with pytest.raises(CaseError, match="1 seems to be missing"):
        open_series(str(tmp_path / "series"))
    assert series_in(tmp_path / "series") == uid
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "a.dcm").write_bytes(b"not an image")
    for name in ("empty", "damaged", "lost", "series/slice0.dcm"):
        assert series_in(tmp_path / name) is None


def test_a_slice_is_read_once_for_its_header_and_once_for_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counting(file: Path | str, **options: Any) -> Dataset:
        read.append(str(file))
        return dcmread(file, **options)

    files = [str(file) for file in write_series(tmp_path / "series")]
    for module in (dicom_slice, dicom_pixels):
        monkeypatch.setattr(module, "dcmread", counting)
    case: Case = {"image": str(tmp_path / "series"), "name": "series_seg"}
    (opened,) = check_headers(Listed([case], []), 1, CaseReport(tmp_path / "out"))
    assert sorted(read) == files
    image = ReadCased(1, {"0": "background", "1": "liver"})(opened)["image"]
    np.testing.assert_array_equal(image[0].numpy(), VOXELS - 1024.0)
    assert sorted(read) == sorted(files * 2)


def test_threads_that_read_at_once_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    """They belong to the whole process; each reader sets its own for a while."""
    images = []
    for name in "ab":
        write_series(tmp_path / name)
        images.append(open_series(str(tmp_path / name)))
    before = list(warnings.filters)
    together = Barrier(len(images))

    def read(image: ImageFile) -> None:
        for _ in range(100):
            together.wait()
            image.read()

    with ThreadPoolExecutor(len(images)) as pool:
        list(pool.map(read, images))
    assert list(warnings.filters) == before


def test_the_shape_of_the_phantom_tells_all_axes_apart() -> None:
    assert len({*SHAPE}) == len({*SPACING}) == 3
