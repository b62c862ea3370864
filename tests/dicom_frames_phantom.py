"""Voxels -> one multi-frame DICOM file: enhanced, where each frame says where it lies, or of the older kind."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from dicom_phantom import AXIAL, POSITION, SPACING, VOXELS, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedCTImageStorage, MultiFrameGrayscaleWordSecondaryCaptureImageStorage


def _group(**sequences: dict[str, object]) -> Dataset:
    group = Dataset()
    for keyword, elements in sequences.items():
        item = Dataset()
        for name, value in elements.items():
            setattr(item, name, value)
        setattr(group, keyword, Items([item]))
    return group


def _one_file(path: Path, voxels: np.ndarray, across: np.ndarray, kind: str) -> Dataset:
    """With the pixels of all slices, and no place."""
    files = write_series(path.parent / "slices", voxels, across)
    dataset = dcmread(files[0])
    for file in files:
        file.unlink()
    files[0].parent.rmdir()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = kind
    dataset.NumberOfFrames = voxels.shape[2]
    dataset.PixelData = voxels.transpose(2, 1, 0).tobytes()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, keyword)
    return dataset


def write_enhanced(
    path: Path,
    voxels: np.ndarray = VOXELS,
    across: np.ndarray = AXIAL,
    order: Sequence[int] | None = None,
    slopes: Sequence[float] = (1,),
    kind: str = EnhancedCTImageStorage,
    edit: Callable[[Dataset], object] = lambda dataset: None,
) -> Path:
    """order: in which the slices follow each other in the file. slopes: of frame 0, 1, ... and again from the first."""
    order = range(voxels.shape[2]) if order is None else order
    dataset = _one_file(path, voxels[:, :, list(order)], across, kind)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    del dataset.RescaleSlope, dataset.RescaleIntercept
    shared = _group(
        PixelMeasuresSequence={"PixelSpacing": list(SPACING[:2]), "SliceThickness": SPACING[2]},
        PlaneOrientationSequence={"ImageOrientationPatient": [f"{x:.8f}" for x in across.flatten()]},
    )
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items(
        _group(
            FrameContentSequence={"FrameAcquisitionNumber": 1, "InStackPositionNumber": k + 1, "StackID": "1"},
            PlanePositionSequence={"ImagePositionPatient": [f"{x:.6f}" for x in POSITION + np.cross(*across) * SPACING[2] * k]},
            PixelValueTransformationSequence={
                "RescaleSlope": slopes[place % len(slopes)],
                "RescaleIntercept": -1024,
                "RescaleType": "HU",
            },
        )
        for place, k in enumerate(order)
    )
    edit(dataset)
    dataset.save_as(path)
    return path


def write_classic(
    path: Path,
    voxels: np.ndarray = VOXELS,
    across: np.ndarray = AXIAL,
    kind: str = MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    edit: Callable[[Dataset], object] = lambda dataset: None,
) -> Path:
    """The place of its first frame, and the distance between two."""
    dataset = _one_file(path, voxels, across, kind)
    dataset.ImagePositionPatient = [f"{x:.6f}" for x in POSITION]
    dataset.ImageOrientationPatient = [f"{x:.8f}" for x in across.flatten()]
    dataset.PixelSpacing, dataset.SpacingBetweenSlices = list(SPACING[:2]), SPACING[2]
    edit(dataset)
    dataset.save_as(path)
    return path


def write_in_two_files(path: Path) -> Path:
    """One series, whose frames lie in `path` and beside it."""
    first = dcmread(write_enhanced(path, order=(0, 2, 4)))

    def of_that_series(dataset: Dataset) -> None:
        for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, keyword, first[keyword].value)

    write_enhanced(path.with_name("second.dcm"), order=(3, 1), edit=of_that_series)
    return path


def in_frames(sequence: str, keyword: str, values: Sequence[object]) -> Callable[[Dataset], object]:
    """An edit that sets an element in a group of frame 0, 1, ..., to the values in turn."""

    def edit(dataset: Dataset) -> None:
        for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            if sequence not in frame:
                setattr(frame, sequence, Items([Dataset()]))
            setattr(frame[sequence][0], keyword, values[k % len(values)])

    return edit
