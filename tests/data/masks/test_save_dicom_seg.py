"""A DICOM segmentation says, voxel by voxel and in the place of each source slice, what the mask says."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
import torch
from dicom_frames_phantom import write_classic, write_enhanced, write_in_two_files
from dicom_phantom import OBLIQUE, SHAPE, SPACING, VOXELS, write_series
from monai.data import MetaTensor
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from scripts.data.cases.case_error import CaseError
from scripts.data.formats.dicom_series import open_series
from scripts.data.masks.save_dicom_seg import SaveDicomSegd

LABELS = {"0": "background", "1": "liver", "4": "left atrium", "300": "tumour"}
VALUES = (1, 4, 300)  # of segments 1, 2, 3


def case(path: Path, pred: torch.Tensor) -> dict[str, Any]:
    affine = torch.from_numpy(open_series(str(path)).affine)
    image = MetaTensor(torch.from_numpy(VOXELS)[None].float(), affine=affine, meta={"filename_or_obj": str(path)})
    return {"image": image, "pred": MetaTensor(pred[None].float(), affine=affine), "name": "sub/scan_seg"}


def mask() -> torch.Tensor:
    return torch.tensor((0, *VALUES))[torch.randint(0, 4, SHAPE)]


def save(folder: Path, path: Path, pred: torch.Tensor) -> highdicom.seg.Segmentation:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saved = SaveDicomSegd(folder / "masks", LABELS, version="1.2")(case(path, pred))
    assert saved["dicom_seg"] == str(folder / "masks" / "sub" / "scan_seg.dcm")
    assert [file.name for file in (folder / "masks" / "sub").iterdir()] == ["scan_seg.dcm"]
    return highdicom.seg.segread(saved["dicom_seg"])


def assert_shows(segmentation: highdicom.seg.Segmentation, files: list[Path], pred: torch.Tensor) -> None:
    """files: of slices in any order, each of which must be found by its own position in the object."""
    frames = segmentation.pixel_array.reshape(-1, SHAPE[1], SHAPE[0])
    found = np.zeros(SHAPE, int)
    places = [np.array(dcmread(file).ImagePositionPatient, float) for file in open_series(str(files[0].parent)).files]
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        k = int(np.linalg.norm(np.array(places) - place, axis=1).argmin())
        np.testing.assert_allclose(place, places[k])
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[:, :, k] += VALUES[number - 1] * frame.T.astype(int)
    np.testing.assert_array_equal(found, pred)


def test_the_object_holds_the_mask_at_the_places_of_its_source(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", across=OBLIQUE, names=["d.dcm", "a.dcm", "e.dcm", "c.dcm", "b.dcm"])
    pred = mask()
    segmentation = save(tmp_path, tmp_path / "series", pred)
    assert_shows(segmentation, files, pred)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    source = dcmread(files[0])
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose(orientation, source.ImageOrientationPatient)
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing)
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert segmentation.StudyInstanceUID == source.StudyInstanceUID
    referenced = segmentation.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    instances = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert instances == {dcmread(file).SOPInstanceUID for file in files}


def per_frame(dataset: Dataset) -> None:
    """As some scanners have it: what is common to all frames stands in each of them."""
    (shared,) = dataset.SharedFunctionalGroupsSequence
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            frame[keyword] = shared[keyword]
        del shared[keyword]


@pytest.mark.parametrize("edit", [lambda dataset: None, per_frame], ids=["shared", "per frame"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (2, 0, 4, 1, 3)])
def test_the_segments_of_frames_name_their_frames(
    tmp_path: Path, order: tuple[int, ...], edit: Callable[[Dataset], object]
) -> None:
    (tmp_path / "series").mkdir()
    file = write_enhanced(tmp_path / "series" / "a.dcm", across=OBLIQUE, order=order, edit=edit)
    pred = mask()
    segmentation = save(tmp_path, tmp_path / "series", pred)
    source = dcmread(file)
    found = np.zeros(SHAPE, int)
    frames = segmentation.pixel_array.reshape(-1, SHAPE[1], SHAPE[0])
    for pixels, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        (reference,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        place = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        assert groups.PlanePositionSequence[0].ImagePositionPatient == place.ImagePositionPatient
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[:, :, order[reference.ReferencedFrameNumber - 1]] += VALUES[number - 1] * pixels.T.astype(int)
    np.testing.assert_array_equal(found, pred)


@pytest.mark.parametrize("write", [write_classic, write_in_two_files], ids=["frames without a place", "frames in two files"])
def test_other_frames_get_no_object(tmp_path: Path, write: Callable[[Path], object]) -> None:
    (tmp_path / "series").mkdir()
    write(tmp_path / "series" / "a.dcm")
    with pytest.raises(CaseError, match="a DICOM segmentation must fit its series"):
        save(tmp_path, tmp_path / "series", mask())


def test_segments_are_the_labels_after_the_background(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    segmentation = save(tmp_path, tmp_path / "series", mask())
    assert segmentation.segmentation_type.value == "BINARY"
    described = [segmentation.get_segment_description(number) for number in (1, 2, 3)]
    assert [item.segment_label for item in described] == ["liver", "left atrium", "tumour"]
    for item in described:
        assert item.algorithm_type.value == "AUTOMATIC"
        assert (item.algorithm_identification.name, item.algorithm_identification.version) == ("SAM-3D", "1.2")


@pytest.mark.parametrize("values", [(0,), (0, 4)], ids=["all", "some"])
def test_segments_that_the_mask_does_not_show_are_there_and_empty(tmp_path: Path, values: tuple[int, ...]) -> None:
    files = write_series(tmp_path / "series")
    pred = torch.tensor(values)[torch.randint(0, len(values), SHAPE)]
    segmentation = save(tmp_path, tmp_path / "series", pred)
    assert segmentation.number_of_segments == 3
    assert_shows(segmentation, files, pred)


def test_a_file_of_the_series_stands_for_it(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    write_series(tmp_path / "series", names=[f"other{k}.dcm" for k in range(5)])
    segmentation = save(tmp_path, files[2], mask())
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == dcmread(files[0]).SeriesInstanceUID


def test_one_slice_has_a_segmentation_too(tmp_path: Path) -> None:
    write_series(tmp_path / "series", VOXELS[..., :1])
    pred = mask()[..., :1]
    segmentation = save(tmp_path, tmp_path / "series", pred)
    present = set(pred.unique().tolist()) - {0}
    assert segmentation.NumberOfFrames == len(present)


def test_other_images_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"\x1f\x8b")
    image = MetaTensor(torch.zeros(1, *SHAPE), meta={"filename_or_obj": str(tmp_path / "scan.nii.gz")})
    data = {"image": image, "pred": image, "name": "scan_seg"}
    assert SaveDicomSegd(tmp_path / "masks", LABELS)(data) == data
    assert not (tmp_path / "masks").exists()


def test_the_description_says_what_is_in_doubt(tmp_path: Path) -> None:
    def dark(dataset: FileDataset, k: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"

    for name, edit in {"sound": lambda dataset, k: None, "doubtful": dark}.items():
        write_series(tmp_path / name / "series", edit=edit)
    described = [save(tmp_path / name, tmp_path / name / "series", mask()).SeriesDescription for name in ("sound", "doubtful")]
    assert described == ["SAM-3D segmentation", "SAM-3D, in doubt: large values should be bright"]


def test_the_distance_between_slices_is_that_of_their_places(tmp_path: Path) -> None:
    def wrong(dataset: FileDataset, k: int) -> None:
        dataset.SpacingBetweenSlices = 7

    write_series(tmp_path / "series", edit=wrong)
    shared = save(tmp_path, tmp_path / "series", mask()).SharedFunctionalGroupsSequence[0]
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == pytest.approx(SPACING[2])


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    with pytest.raises(CaseError, match="series: a DICOM segmentation must fit its series"):
        SaveDicomSegd(tmp_path / "masks", LABELS)(case(tmp_path / "series", mask()[..., :-1]))
    assert not (tmp_path / "masks").exists()


def test_a_series_without_frame_of_reference_is_refused(tmp_path: Path) -> None:
    def bare(dataset: FileDataset, k: int) -> None:
        del dataset.FrameOfReferenceUID

    write_series(tmp_path / "series", edit=bare)
    with pytest.raises(CaseError, match="have no Frame"):
        SaveDicomSegd(tmp_path / "masks", LABELS)(case(tmp_path / "series", mask()))


def test_an_object_is_there_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "series")

    def disk_full(_: highdicom.seg.Segmentation, path: Path) -> None:
        Path(path).write_bytes(b"half an object")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(highdicom.seg.Segmentation, "save_as", disk_full)
    with pytest.raises(OSError, match="No space left"):
        SaveDicomSegd(tmp_path / "masks", LABELS)(case(tmp_path / "series", mask()))
    assert list((tmp_path / "masks" / "sub").iterdir()) == []


def test_only_an_object_of_ours_is_overwritten(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    path = tmp_path / "masks" / "sub" / "scan_seg.dcm"
    for _ in range(2):
        save(tmp_path, tmp_path / "series", mask())
    theirs = dcmread(path)
    theirs.Manufacturer = "another"
    theirs.save_as(path)
    before = path.read_bytes()
    with pytest.raises(CaseError, match=r"must not overwrite another file; .*scan_seg\.dcm"):
        save(tmp_path, tmp_path / "series", mask())
    assert path.read_bytes() == before
