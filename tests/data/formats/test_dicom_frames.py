"""Multi-frame DICOM -> the volume that its frames' own headers describe, in whatever order they lie in the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_frames_phantom import in_frames, write_classic, write_enhanced, write_in_two_files
from dicom_phantom import OBLIQUE, VOXELS, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    EnhancedMRImageStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    NuclearMedicineImageStorage,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)
from test_dicom_series import LARGE

from scripts.data import CaseError, open_image

SLOPES = (1, 0.125, 3)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3)])
def test_frames_with_places_are_the_series_of_their_slices(tmp_path: Path, order: tuple[int, ...]) -> None:
    write_series(tmp_path / "series", across=OBLIQUE)
    (tmp_path / "frames").mkdir()
    file = write_enhanced(tmp_path / "frames" / "a.dcm", across=OBLIQUE, order=order)
    series, frames, by_file = (open_image(str(path)) for path in (tmp_path / "series", tmp_path / "frames", file))
    np.testing.assert_array_equal(frames.read(), series.read())
    np.testing.assert_allclose(frames.affine, series.affine, atol=1e-9)
    np.testing.assert_array_equal(by_file.affine, frames.affine)
    assert (frames.files, frames.shape, frames.notes) == ((str(file),), series.shape, ())


@pytest.mark.parametrize("kind", [EnhancedMRImageStorage, LegacyConvertedEnhancedCTImageStorage])
def test_each_frame_is_scaled_by_its_own_slope(tmp_path: Path, kind: str) -> None:
    write_enhanced(tmp_path / "a.dcm", slopes=(1, 0.3, 2.5, 0.01, 7), kind=kind)
    expected = VOXELS * np.array([1, 0.3, 2.5, 0.01, 7]) - 1024
    np.testing.assert_allclose(open_image(str(tmp_path)).read()[0], expected, rtol=1e-5)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_frames_hold_the_same_voxels(tmp_path: Path, syntax: str) -> None:
    file = write_enhanced(tmp_path / "a.dcm", LARGE, slopes=SLOPES)
    dataset = dcmread(file)
    if syntax == JPEG2000Lossless:
        streams = []
        for k, pixels in enumerate(dataset.pixel_array):
            sitk_file = tmp_path / f"frame{k}.tmp.dcm"
            writer = sitk.ImageFileWriter()
            writer.SetUseCompression(True)
            writer.SetCompressor("JPEG2000")
            writer.SetFileName(str(sitk_file))
            writer.Execute(sitk.GetImageFromArray(pixels))
            written = dcmread(sitk_file)
            streams += generate_frames(written.PixelData, number_of_frames=1)
            dataset.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID
            sitk_file.unlink()
        dataset.PixelData = encapsulate(streams)
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(file)
    np.testing.assert_array_equal(open_image(str(tmp_path)).read()[0], LARGE * SLOPES - 1024)


def test_two_files_with_frames_of_one_series_are_one_volume(tmp_path: Path) -> None:
    write_in_two_files(tmp_path / "a.dcm")
    image = open_image(str(tmp_path))
    np.testing.assert_array_equal(image.read()[0], VOXELS - 1024.0)
    assert len(image.files) == 2


def as_detector(dataset: Dataset) -> None:
    """Nuclear medicine has the place of the first frame in a sequence of its own."""
    item = Dataset()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
        item[keyword] = dataset[keyword]
        del dataset[keyword]
    dataset.DetectorInformationSequence = [item]
    dataset.FrameIncrementPointer = 0x00540080  # the vector of slices


@pytest.mark.parametrize("edit", [lambda dataset: None, as_detector], ids=["at the top", "of the detector"])
def test_frames_of_the_older_kinds_follow_the_first_and_are_in_doubt(tmp_path: Path, edit: Callable[[Dataset], object]) -> None:
    write_series(tmp_path / "series", across=OBLIQUE)
    (tmp_path / "frames").mkdir()
    write_classic(tmp_path / "frames" / "a.dcm", across=OBLIQUE, kind=NuclearMedicineImageStorage, edit=edit)
    series, frames = (open_image(str(tmp_path / name)) for name in ("series", "frames"))
    np.testing.assert_array_equal(frames.read(), series.read())
    np.testing.assert_allclose(frames.affine, series.affine, atol=1e-6)
    assert [note.rule for note in frames.notes] == ["every frame must say where it lies"]


def without(*keywords: str) -> Callable[[Dataset], object]:
    return lambda dataset: [delattr(dataset, keyword) for keyword in keywords]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_classic(path, edit=without("SpacingBetweenSlices")),
        lambda path: write_classic(path, edit=without("ImagePositionPatient"), kind=UltrasoundMultiFrameImageStorage),
        lambda path: write_classic(path, edit=lambda dataset: setattr(dataset, "SpacingBetweenSlices", 0)),
        lambda path: write_classic(path, edit=lambda dataset: setattr(dataset, "FrameIncrementPointer", 0x00181065)),
        lambda path: write_enhanced(path, edit=lambda dataset: setattr(dataset, "NumberOfFrames", 6)),
    ],
    ids=["no distance", "no place", "no way", "times", "a frame without header"],
)
def test_frames_that_are_no_slices_are_refused_by_name(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path / "a.dcm")
    with pytest.raises(CaseError, match=r"a\.dcm: every frame must say where it lies"):
        open_image(str(tmp_path))


@pytest.mark.parametrize(
    ("sequence", "keyword", "values", "name"),
    [
        ("FrameContentSequence", "StackID", ("1", "2"), "stack"),
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2, 3), "time"),
        ("MREchoSequence", "EffectiveEchoTime", (4.6, 9.2), "echo"),
        ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", (0.0, 50.0), "phase of the heart"),
        ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase", (0.0, 50.0), "phase of breathing"),
        ("MRDiffusionSequence", "DiffusionBValue", (0.0, 800.0), "b-value"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 0, 1, 1, 2, 2)], ids=["side by side", "at one place"])
def test_frames_of_several_volumes_are_refused_by_what_differs(
    tmp_path: Path, order: tuple[int, ...], sequence: str, keyword: str, values: tuple[object, ...], name: str
) -> None:
    write_enhanced(tmp_path / "a.dcm", order=order, edit=in_frames(sequence, keyword, values))
    found = rf"one stack, time, echo and phase; {keyword} has {len(values)} values \({values[0]}, .*each {name} as a series"
    with pytest.raises(CaseError, match=found):
        open_image(str(tmp_path))


def test_what_is_another_in_every_frame_divides_none(tmp_path: Path) -> None:
    edit = in_frames("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", (10.0, 12.0, 14.0, 16.0, 18.0))
    write_enhanced(tmp_path / "a.dcm", edit=edit)
    np.testing.assert_array_equal(open_image(str(tmp_path)).read()[0], VOXELS - 1024.0)


def test_compressed_frames_fewer_than_the_header_says_are_refused(tmp_path: Path) -> None:
    file = write_enhanced(tmp_path / "a.dcm", LARGE)
    dataset = dcmread(file)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.PixelData = encapsulate([*generate_frames(dataset.PixelData, number_of_frames=3)][:2])
    dataset.save_as(file)
    with pytest.raises(CaseError, match=r"a\.dcm: the file must be whole"):
        open_image(str(tmp_path)).read()


def test_frames_at_one_place_are_refused_as_times(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a.dcm", order=(0, 1, 2, 3, 4, 0, 1, 2, 3, 4))
    with pytest.raises(CaseError, match=r"each slice must be there once; a\.dcm and a\.dcm, frame 6 lie at the same place"):
        open_image(str(tmp_path))


def test_frames_fewer_than_the_header_says_are_refused(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a.dcm", edit=lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:-84]))
    with pytest.raises(CaseError, match=r"a\.dcm: the file must be whole"):
        open_image(str(tmp_path)).read()
