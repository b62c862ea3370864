"""Folders of DICOM slices: whole series in odd dress, and series that are none."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from dicom_frames_phantom import in_frames, write_classic, write_enhanced
from dicom_phantom import OBLIQUE, POSITION, SHAPE, SPACING, VOXELS, write_series
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    generate_uid,
)

from .corpus_case import DOUBT, LEFT_OUT, REFUSED, WRITTEN, CorpusCase

Write = Callable[[Path], object]
LONG = np.random.default_rng(2).integers(-1000, 3000, (7, 6, 9)).astype(np.int16)


def series(*edits: Callable[[FileDataset, int], None], drop: Sequence[int] = (), **options: object) -> Write:
    """A series; each of `edits` changes its slices, `drop` are not there."""

    def edit(dataset: FileDataset, k: int) -> None:
        for one in edits:
            one(dataset, k)

    def write(folder: Path) -> None:
        files = write_series(folder, edit=edit, **options)
        for k in drop:
            files[k].unlink()

    return write


def of(k: int, **values: object) -> Callable[[FileDataset, int], None]:
    """Sets elements of slice k; None deletes. -1 stands for all slices."""

    def edit(dataset: FileDataset, slice_: int) -> None:
        for keyword, value in values.items() if k in (-1, slice_) else ():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return edit


def all_of(**values: object) -> Callable[[FileDataset, int], None]:
    return of(-1, **values)


def tilted(dataset: FileDataset, k: int) -> None:
    place = np.add(POSITION, [0, 1.5 * k, SPACING[2] * k])
    dataset.ImagePositionPatient = [f"{x:.4f}" for x in place]


def second_time(dataset: FileDataset, k: int) -> None:
    """The second half of the slices lies where the first does."""
    place = np.add(POSITION, [0, 0, SPACING[2] * (k % SHAPE[2])])
    dataset.ImagePositionPatient = [f"{x:.4f}" for x in place]


def half_a_slice_further(dataset: FileDataset, k: int) -> None:
    """The second half of the slices lies between those of the first."""
    acquisition, place = divmod(k, SHAPE[2])
    dataset.AcquisitionNumber = acquisition + 1
    dataset.ImagePositionPatient = [*POSITION[:2], POSITION[2] + SPACING[2] * (place + acquisition / 2)]


def in_tenths(dataset: FileDataset, k: int) -> None:
    dataset.ImagePositionPatient = [*POSITION[:2], f"{POSITION[2] + 1.25 * k + 1e-6:.1f}"]


def slope_alone(dataset: FileDataset, k: int) -> None:
    dataset.RescaleSlope = 1 if k % 2 else 0.125
    del dataset.RescaleIntercept


def padded(dataset: FileDataset, k: int) -> None:
    pixels = VOXELS[:, :, k].copy()
    pixels[:2] = -2000
    dataset.PixelPaddingValue, dataset.PixelData = -2000, pixels.T.tobytes()


def no_jpeg(dataset: FileDataset, k: int) -> None:
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(50)])
    dataset["PixelData"].is_undefined_length = True


def jpeg(dataset: FileDataset, k: int) -> None:
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)


def cut_jpeg(dataset: FileDataset, k: int) -> None:
    if k == 2:
        (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
        dataset.PixelData = encapsulate([stream[: len(stream) // 2]])


def bare(dataset: FileDataset, k: int) -> None:
    """As the oldest files are: no preamble."""
    dataset.preamble = None


def _then(first: Write, change: Callable[[Path], object]) -> Write:
    def write(folder: Path) -> None:
        first(folder)
        change(folder)

    return write


def _slice(folder: Path, k: int = 2) -> Path:
    return folder / f"slice{k}.dcm"


def _cut(to: int) -> Write:
    def change(folder: Path) -> None:
        data = _slice(folder).read_bytes()
        _slice(folder).write_bytes(data[:to])

    return _then(series(), change)


def _object(kind: str) -> Callable[[Path], object]:
    """A DICOM file that is no image."""

    def write(folder: Path) -> None:
        (file,) = write_series(folder / "other", VOXELS[:, :, :1], edit=all_of(SOPClassUID=kind, PixelData=None))
        file.replace(folder / "object.dcm")
        file.parent.rmdir()

    return write


def _second(folder: Path) -> None:
    for file in write_series(folder / "other"):
        file.replace(folder / f"other_{file.name}")
    (folder / "other").rmdir()


def _copy(folder: Path) -> None:
    (folder / "copy.dcm").write_bytes(_slice(folder).read_bytes())


HEALTHY = {
    "plain": series(),
    "oblique": series(across=OBLIQUE),
    "turned": series(across=-OBLIQUE),
    "without_suffix": series(names=[f"IM{k}" for k in (3, 1, 2, 0, 4)]),
    "names_in_disorder": series(names=["z.dcm", "b.dcm", "10.dcm", "9.dcm", "IM.ima"]),
    "numbers_missing": series(all_of(InstanceNumber=None)),
    "without_preamble": series(bare),
    "thickness_missing": series(all_of(SliceThickness=None)),
    "two_slices": series(voxels=VOXELS[:, :, :2]),
    "a structure set beside it": _then(series(), _object(RTStructureSetStorage)),
    "notes_beside_it": _then(series(), lambda folder: (folder / "readme.txt").write_text("thorax")),
    "ct.nii.gz": series(),
    "$(touch pwned)": series(all_of(SeriesDescription="$__import__('os').system('touch pwned')", PatientName="@network")),
    "nested/a": series(),
    "slope_alone": series(slope_alone),
    "intercept_alone": series(all_of(RescaleSlope=None)),
    "padded": series(padded),
    "jpeg": series(jpeg),
    "frames_with_places": lambda folder: write_enhanced(folder / "frames.dcm"),
    "frames_oblique": lambda folder: write_enhanced(folder / "frames.dcm", across=OBLIQUE),
    "frames_beside_an_index": _then(
        lambda folder: write_enhanced(folder / "frames.dcm"), _object(MediaStorageDirectoryStorage)
    ),
    "nested/a/b/c": series(),
    "Größe und Maß": series(),
}

REFUSALS = {
    "one_missing": (series(drop=[2]), "evenly spaced"),
    "two_missing": (series(drop=[1, 3], voxels=np.tile(VOXELS, (1, 1, 2))), "evenly spaced"),
    "one_twice": (_then(series(), _copy), "there once"),
    "two_times": (series(second_time, voxels=np.tile(VOXELS, (1, 1, 2))), "there once"),
    "two_series": (_then(series(), _second), "one DICOM series"),
    "localizer": (series(of(0, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])), "same ImageOrientationPatient"),
    "one_of_other_spacing": (series(of(1, PixelSpacing=[2, 2])), "same PixelSpacing"),
    "one_of_other_size": (series(of(1, Rows=3)), "same Rows"),
    "one_of_another_patient": (series(of(1, FrameOfReferenceUID=generate_uid())), "same FrameOfReferenceUID"),
    "uneven": (series(of(3, ImagePositionPatient=[*POSITION[:2], POSITION[2] + 8.1])), "evenly spaced"),
    "tilted": (series(tilted), "straight behind"),
    "cut_in_the_header": (_cut(300), "whole|DICOM file"),
    "cut_in_the_pixels": (_cut(-20), "whole"),
    "one_empty": (_then(series(), lambda folder: _slice(folder).write_bytes(b"")), "whole|DICOM file"),
    "one_is_text": (_then(series(), lambda folder: _slice(folder).write_text("Dear colleague")), "whole|DICOM file"),
    "pixels_missing": (series(of(2, PixelData=None)), "whole"),
    "pixels_of_another_size": (series(of(2, PixelData=bytes(10))), "whole"),
    "pixels_are_no_jpeg": (series(no_jpeg), "whole"),
    "jpeg_is_cut": (series(jpeg, cut_jpeg), "whole"),
    "jpeg_of_another_size": (series(jpeg, all_of(Columns=8)), "whole"),
    "place_missing": (series(of(1, ImagePositionPatient=None)), "where it lies"),
    "orientation_missing": (series(all_of(ImageOrientationPatient=None)), "where it lies"),
    "spacing_missing": (series(all_of(PixelSpacing=None)), "where it lies"),
    "spacing_0": (series(all_of(PixelSpacing=[0, 0])), "have a size"),
    "no_rotation": (series(all_of(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])), "perpendicular"),
    "colours": (series(all_of(SamplesPerPixel=3, PhotometricInterpretation="RGB")), "one grey value"),
    "mosaic": (series(all_of(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), voxels=VOXELS[:, :, :1]), "one slice"),
    "mosaic_by_its_private_element": (series(lambda d, k: d.add_new(0x0019100A, "US", 36)), "one slice"),
    "of_two_patients": (series(of(2, PatientID="another", StudyInstanceUID=generate_uid())), "same PatientID"),
    "of_two_studies": (series(of(0, StudyInstanceUID=generate_uid())), "same StudyInstanceUID"),
    "of_two_names": (series(of(4, PatientName="Doe^Jane")), "same PatientName"),
    "too_few_columns": (series(all_of(Columns=6)), "as long as its header"),
    "too_few_rows": (series(all_of(Rows=5)), "as long as its header"),
    "slope_of_two_numbers": (series(of(1, RescaleSlope=[1, 2])), "slope and an intercept"),
    "steps_that_add_up": (
        series(lambda d, k: of(k, ImagePositionPatient=[0, 0, round(2.5 * k + 0.011 * k * k, 3)])(d, k), voxels=LONG),
        "evenly spaced",
    ),
    "frames_of_two_stacks": (
        lambda folder: write_enhanced(folder / "frames.dcm", edit=in_frames("FrameContentSequence", "StackID", "12")),
        "one stack, time, echo and phase",
    ),
    "frames_of_two_times": (
        lambda folder: write_enhanced(
            folder / "frames.dcm",
            order=(0, 1, 2, 0, 1, 2),
            edit=in_frames("FrameContentSequence", "TemporalPositionIndex", (1, 1, 1, 2, 2, 2)),
        ),
        "one stack, time, echo and phase",
    ),
    "frames_of_two_echoes": (
        lambda folder: write_enhanced(
            folder / "frames.dcm",
            order=(0, 0, 1, 1),
            edit=in_frames("MREchoSequence", "EffectiveEchoTime", (4.6, 9.2)),
        ),
        "one stack, time, echo and phase",
    ),
    "frames_at_one_place": (lambda folder: write_enhanced(folder / "frames.dcm", order=(0, 1, 1, 2)), "there once"),
    "frames_of_which_one_is_missing": (
        lambda folder: write_enhanced(folder / "frames.dcm", order=(0, 1, 3, 4)),
        "evenly spaced",
    ),
    "frames_without_their_headers": (
        lambda folder: write_enhanced(folder / "frames.dcm", edit=lambda d: setattr(d, "NumberOfFrames", 4)),
        "every frame must say",
    ),
    "frames_that_are_times": (
        lambda folder: write_classic(folder / "a.dcm", edit=lambda d: setattr(d, "FrameIncrementPointer", 0x00181063)),
        "every frame must say",
    ),
    "frames": (series(all_of(NumberOfFrames=4)), "every frame must say"),
    "constant": (series(voxels=np.zeros(SHAPE, np.int16)), "contrast"),
    "slope_0": (series(all_of(RescaleSlope=0)), "contrast"),
    "too_thick": (series(all_of(PixelSpacing=[400, 400])), "measure"),
}
NO_IMAGES = {
    "structure_set_alone": (_object(RTStructureSetStorage), "RT Structure Set Storage"),
    "segmentation_alone": (_object(SegmentationStorage), "Segmentation Storage"),
}

DOUBTS = {
    "one_slice": (series(voxels=VOXELS[:, :, :1]), "several slices"),
    "two_acquisitions": (series(half_a_slice_further, voxels=np.tile(VOXELS, (1, 1, 2))), "one acquisition"),
    "two_stacks": (
        series(half_a_slice_further, all_of(AcquisitionNumber=None), voxels=np.tile(VOXELS, (1, 1, 2))),
        "one acquisition",
    ),
    "places_in_tenths_of_mm": (series(in_tenths), "evenly spaced"),
    "another_distance_in_the_header": (series(all_of(SpacingBetweenSlices=5)), "one distance"),
    "dark_is_bright": (series(all_of(PhotometricInterpretation="MONOCHROME1")), "bright"),
    "links_beside_it": (_then(series(), lambda folder: (folder / "link.dcm").symlink_to("slice1.dcm")), "must be files"),
}

CASES = [
    *(CorpusCase(f"dicom/{name}", LEFT_OUT, write, rule) for name, (write, rule) in NO_IMAGES.items()),
    *(CorpusCase(f"dicom/{path}", WRITTEN, write) for path, write in HEALTHY.items()),
    *(CorpusCase(f"dicom/{path}", REFUSED, write, rule) for path, (write, rule) in REFUSALS.items()),
    *(CorpusCase(f"dicom/{path}", DOUBT, write, rule) for path, (write, rule) in DOUBTS.items()),
]
