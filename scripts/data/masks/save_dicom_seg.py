"""A mask in the grid of its DICOM series -> a DICOM Segmentation object that viewers lay over that series."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from monai.data import MetaTensor
from monai.transforms import Transform
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from ...basics.geometry import spacing_of
from ...files.atomic_write import atomic_write
from ..cases.case_error import CaseError
from ..cases.label_values import label_values
from ..cases.read_case import read_from
from ..formats.dicom_series import slices_of
from ..formats.dicom_slice import Slice, is_dicom
from ..formats.image_file import Note

MANUFACTURER = "SAM-3D"


class SaveDicomSegd(Transform):
    """Writes `pred` (1, H, W, D) of label values to `output_dir`/`name`.dcm and adds its path as `dicom_seg`.

    To be used after `SaveMaskd`, which checks shape, place and name. An image that is no DICOM series is left as it is.
    Segments are numbered 1, 2, ... in the order of the labels after the background, whether or not the mask shows them. All
    are coded as "Anatomical Structure", since a label's name tells a person but no code what it is.

    labels: label value -> name, in ascending order; "0" is the background.
    version: the bundle's.

    Raises CaseError when the series lacks what such an object must repeat of it; the error names the mask, which holds.
    """

    def __init__(self, output_dir: str | Path, labels: Mapping[str, str], version: str = "unknown") -> None:
        self.output_dir = Path(output_dir)
        self.names = dict(zip(label_values(labels)[1:], list(labels.values())[1:], strict=True))  # without background
        self.version = version

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        file = read_from(data["image"])
        if not (Path(file).is_dir() or is_dicom(Path(file))):
            return dict(data)
        try:
            return {**data, "dicom_seg": self._write(file, self.output_dir / f"{data['name']}.dcm", data["pred"])}
        except CaseError as error:
            error.mask = data.get("mask")
            raise

    def _write(self, file: str, path: Path, pred: MetaTensor) -> str:
        if path.exists() and not _is_own(path):
            found, remedy = (
                f"{path} is there and was not written by this bundle",
                "choose another output folder, or move that file",
            )
            raise CaseError(file, "a mask must not overwrite another file", found, remedy)
        slices, notes = slices_of(file)
        numbers, distance = self._numbered(pred), float(spacing_of(pred.affine.cpu().numpy())[2])
        try:
            segmentation = self._segmentation(_sources(slices, distance), _as_in_file(slices, numbers), _description(notes))
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # highdicom's, for what it misses in the source
            found = f"it cannot be built ({type(error).__name__}: {' '.join(str(error).split())})"
            raise CaseError(file, "a DICOM segmentation must fit its series", found, "use the NIfTI mask") from error
        with atomic_write(path) as temporary:
            segmentation.save_as(temporary)
        return str(path)

    def _numbered(self, pred: MetaTensor) -> np.ndarray:
        """(1, H, W, D) of label values -> (D, W, H) of segment numbers: frames, rows, columns."""
        values = pred.as_tensor().cpu().numpy()[0].transpose(2, 1, 0)
        numbers = np.zeros(values.shape, np.uint8 if len(self.names) < 256 else np.uint16)
        for number, value in enumerate(self.names, start=1):
            numbers[values == value] = number
        return numbers

    def _segmentation(self, sources: Sequence[Dataset], numbers: np.ndarray, description: str) -> Segmentation:
        algorithm = AlgorithmIdentificationSequence("SAM-3D", codes.DCM.ArtificialIntelligence, self.version)
        return Segmentation(
            source_images=sources,
            pixel_array=numbers,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[
                SegmentDescription(
                    segment_number=number,
                    segment_label=name,
                    segmented_property_category=codes.SCT.AnatomicalStructure,
                    segmented_property_type=codes.SCT.AnatomicalStructure,
                    algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                    algorithm_identification=algorithm,
                )
                for number, name in enumerate(self.names.values(), start=1)
            ],
            series_instance_uid=generate_uid(),
            series_number=1,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name="SAM-3D",
            software_versions=self.version,
            device_serial_number="none",
            series_description=description,
        )


def _description(notes: Sequence[Note]) -> str:
    """As a viewer lists it, whose user does not see the report; at most 64 characters."""
    doubts = [note.rule for note in notes if not note.corrected]
    return f"SAM-3D, in doubt: {doubts[0]}"[:64] if doubts else "SAM-3D segmentation"


def _sources(slices: Sequence[Slice], distance: float) -> Sequence[Dataset]:
    """A header for each file, with the distance between slices (mm), which theirs may lack or have wrong."""
    sources = [dcmread(file, force=True, stop_before_pixels=True) for file in dict.fromkeys(image.file for image in slices)]
    for source in sources:
        measured = source
        if source.get("PerFrameFunctionalGroupsSequence"):
            shared, first = source.SharedFunctionalGroupsSequence[0], source.PerFrameFunctionalGroupsSequence[0]
            for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):  # highdicom looks for them there alone
                if keyword not in shared:
                    shared[keyword] = first[keyword]
            measured = shared.PixelMeasuresSequence[0]
        measured.SpacingBetweenSlices = f"{distance:.10g}"
    return sources


def _as_in_file(slices: Sequence[Slice], numbers: np.ndarray) -> np.ndarray:
    """(D, W, H), in the order of the slices -> in that of the frames of their one file, where they are frames."""
    files = {image.file for image in slices}
    if len(files) == len(slices):
        return numbers
    if len(files) > 1:
        raise ValueError("its frames lie in several files")
    return numbers[np.argsort([image.frame for image in slices])]


def _is_own(path: Path) -> bool:
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=["Manufacturer"]).get("Manufacturer") == MANUFACTURER
    except Exception:  # whatever lies there
        return False
