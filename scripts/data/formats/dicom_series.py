"""A folder of DICOM slices, in one file or many -> one volume on a regular grid, or an error that says which do not fit."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from ..cases.case_error import CaseError
from .dicom_frames import open_slices
from .dicom_grid import regular_grid
from .dicom_pixels import Pixels, pixels_of, read_frames
from .dicom_slice import Slice, is_dicom, numbers_of
from .frame_decoder import FrameDecoder
from .image_file import ImageFile, Note


def find_series(folder: str | Path) -> list[str]:
    """The folders below `folder`, itself included, that directly hold DICOM files, in order of name.

    Whether the files of a folder are one image is for `open_series` to say. Hidden folders and links are not entered.
    """
    found = []
    for root, names, _ in os.walk(folder):
        names[:] = [name for name in names if name[0] != "."]
        if any(True for _ in _dicom_files(Path(root))):
            found.append(root)
    return sorted(found)


def series_in(folder: str | Path) -> str | None:
    """The UID of the first image that lies there, also where `open_series` refuses the folder; None if nothing says it."""
    with suppress(CaseError, OSError, StopIteration):
        return _uid_of(next(_slices(Path(folder)))) or None
    return None


def open_series(path: str) -> ImageFile:
    """`path` is a folder that holds one series of images, or a file of that series among others in its folder.

    Sub-folders are not searched; what is no DICOM image is passed over. Columns, rows and slices, along the normal, become
    H, W and D. Raises CaseError unless the slices are one regular grid.
    """
    slices, notes = slices_of(path)
    return _volume(path, slices, notes)


def slices_of(path: str) -> tuple[list[Slice], list[Note]]:
    """Those of `open_series` in its order, and what is odd about them; raises CaseError as it does."""
    source = Path(path)
    folder = source if source.is_dir() else source.parent
    chosen = None if folder == source else _chosen_by(source)
    series: dict[str, list[Slice]] = defaultdict(list)
    for image in _slices(folder):
        if chosen in (None, _uid_of(image)):
            series[_uid_of(image)].append(image)
    if not series:
        found = "there is none directly in it (links are not followed)"
        raise CaseError(str(folder), "must hold DICOM images", found, "choose the folder of the slices")
    if len(series) > 1:
        found = f"it holds {len(series)}: {'; '.join(map(_describe, series.values()))}"
        remedy = "give one of these files as the image, or each series a folder"
        raise CaseError(path, "must hold one DICOM series", found, remedy)
    (slices,) = series.values()
    notes = _notes(folder, slices)
    slices, odd = regular_grid(path, slices)
    return slices, [*notes, *odd]


def _volume(path: str, slices: list[Slice], notes: list[Note]) -> ImageFile:
    axes = slices[0].axes
    if len(slices) > 1:
        distance = float(axes[2] @ (slices[-1].position - slices[0].position)) / (len(slices) - 1)
    else:
        distance, note = _thickness(slices[0])
        notes.append(note)
    header, pixels = slices[0].header, [pixels_of(image) for image in slices]
    shape = (int(header.Rows), int(header.Columns))
    between_rows, between_columns = map(float, header.PixelSpacing)
    affine = np.eye(4)  # DICOM PS3.3 equation C.7.6.2.1-1
    affine[:3, :3] = axes.T * (between_columns, between_rows, distance)
    affine[:3, 3] = slices[0].position
    affine[:2] *= -1  # DICOM counts towards left and back
    return ImageFile(
        path=path,
        shape=(shape[1], shape[0], len(slices)),
        channels=1,
        dtype=np.dtype(f"{'i' if header.PixelRepresentation else 'u'}{header.BitsAllocated // 8}"),
        affine=affine,
        notes=tuple(notes),
        read=partial(_voxels, pixels, shape),
        files=tuple(dict.fromkeys(image.file for image in pixels)),
        series=_uid_of(slices[0]) or None,
    )


def _voxels(pixels: Sequence[Pixels], shape: tuple[int, int]) -> np.ndarray:
    """shape: (rows, columns). What the files call padding gets the closest value that is none: else it would set the scale."""
    slices = np.empty((len(pixels), *shape), np.float32)
    lowest, highest = np.inf, -np.inf
    by_file: dict[str, list[int]] = defaultdict(list)
    for k, image in enumerate(pixels):
        by_file[image.file].append(k)
    with FrameDecoder() as decoder:
        for file, wanted in by_file.items():
            frames = read_frames(file, decoder)
            for k in wanted:
                image = pixels[k]
                if not (image.frame < len(frames) and frames[image.frame].shape == shape):
                    found = f"it has {frames.shape} pixels now"
                    raise CaseError(file, "a file must stay as it is while it is read", found, "start again")
                stored = frames[image.frame]
                slices[k] = stored * image.slope + image.intercept
                if image.padding is not None:
                    real = slices[k][(stored < image.padding[0]) | (stored > image.padding[1])]
                else:
                    real = slices[k]
                if real.size:
                    lowest, highest = min(lowest, real.min()), max(highest, real.max())
    if any(image.padding for image in pixels) and lowest < highest:
        slices.clip(lowest, highest, out=slices)
    return slices.transpose(2, 1, 0)[None]  # (1, columns, rows, slices)


def _dicom_files(folder: Path) -> Iterator[Path]:
    """In order of name. A link would be a second copy of a slice, or lead out of the folder."""
    for file in sorted(folder.iterdir()):
        if file.name[0] != "." and file.is_file() and not file.is_symlink() and is_dicom(file):
            yield file


def _slices(folder: Path) -> Iterator[Slice]:
    return chain.from_iterable(map(open_slices, _dicom_files(folder)))


def _uid_of(image: Slice) -> str:
    """Empty where there is none, which is no matter among files that are one series."""
    return str(image.header.get("SeriesInstanceUID") or "")


def _chosen_by(file: Path) -> str:
    if not is_dicom(file):
        found = "neither its name nor its first bytes say so"
        rule = "must be NIfTI, NRRD, MetaImage or DICOM"
        raise CaseError(str(file), rule, found, "save it as one of these, or give the header of an image in two files")
    slices = open_slices(file)
    if not slices:
        raise CaseError(str(file), "must be a DICOM image", "it is an object of another kind", "choose an image file")
    return _uid_of(slices[0])


def _notes(folder: Path, slices: Sequence[Slice]) -> list[Note]:
    notes = []
    if links := sum(file.is_symlink() for file in folder.iterdir()):
        notes.append(Note("slices must be files", f"{links} symbolic links beside them are not followed", corrected=False))
    if any((image.header.get("NumberOfFrames") or 1) > 1 for image in slices):
        found = "only the first does; the others are taken to follow it along the normal, SpacingBetweenSlices apart"
        notes.append(Note("every frame must say where it lies", found, corrected=False))
    if any(image.header.get("PhotometricInterpretation") == "MONOCHROME1" for image in slices):
        found = "MONOCHROME1: large values are meant to be dark; they are left as they are"
        notes.append(Note("large values should be bright", found, corrected=False))
    return notes


def _thickness(image: Slice) -> tuple[float, Note]:
    """What stands for the distance between slices where there is one: mm."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        numbers = numbers_of(image.header, keyword, 1)
        if numbers is not None and numbers[0] > 0:
            found = f"there is one; its {keyword} of {numbers[0]:g} mm is taken as its thickness"
            return float(numbers[0]), Note("a volume should have several slices", found, corrected=False)
    found = "there is one slice, with neither SpacingBetweenSlices nor SliceThickness"
    raise CaseError(str(image.file), "the distance between slices must be known", found, "give the whole series")


def _describe(slices: Sequence[Slice]) -> str:
    header = slices[0].header
    name = f"series {header.get('SeriesNumber', '?')} '{header.get('SeriesDescription', '')}'"
    return f"{name} ({len(slices)} slices, such as {slices[0].file.name})"
