"""Voxels -> a DICOM series on disk, as a scanner with few words would write it.

It lacks a patient, private elements, compressed pixels (the tests compress them) and vendors' mistakes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

SHAPE = (7, 6, 5)  # columns, rows, slices
VOXELS = np.random.default_rng(0).integers(-1000, 3000, SHAPE).astype(np.int16)
AXIAL = np.eye(3)[:2]
OBLIQUE = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix()[:, :2].T
SPACING = (0.9, 0.7, 2.5)  # mm between rows, columns, slices
POSITION = (-91.3, 26.1, -72.7)  # mm

Edit = Callable[[FileDataset, int], None]


def write_series(
    folder: Path,
    voxels: np.ndarray = VOXELS,
    across: np.ndarray = AXIAL,
    names: Sequence[str] | None = None,
    edit: Edit = lambda dataset, k: None,
) -> list[Path]:
    """A file for each of the slices (columns, rows) along the last axis, and their paths in this order.

    across: (2, 3), the directions along a row and a column. edit: changes the dataset of slice k before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = (generate_uid() for _ in range(3))
    files = []
    for k in range(voxels.shape[2]):
        dataset = FileDataset("", {}, preamble=b"\0" * 128, file_meta=FileMetaDataset())
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, generate_uid(), "CT"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.SeriesNumber, dataset.SeriesDescription, dataset.InstanceNumber = 3, "thorax", k + 1
        dataset.PatientName = dataset.PatientID = dataset.PatientBirthDate = dataset.PatientSex = ""
        dataset.StudyDate = dataset.StudyTime = dataset.StudyID = dataset.AccessionNumber = ""
        dataset.ReferringPhysicianName = ""
        dataset.ImageOrientationPatient = [f"{x:.8f}" for x in across.flatten()]
        dataset.ImagePositionPatient = [f"{x:.6f}" for x in POSITION + np.cross(*across) * SPACING[2] * k]
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING[:2]), SPACING[2]
        dataset.Rows, dataset.Columns = voxels.shape[1], voxels.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = voxels[:, :, k].T.tobytes()
        edit(dataset, k)
        files.append(folder / (names[k] if names else f"slice{k}.dcm"))
        dataset.save_as(files[-1], enforce_file_format=dataset.preamble is not None)
    return files
