"""A folder of DICOM slices -> one volume on a regular grid, or an error that says which slices do not fit."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from ..cases.case_error import CaseError
from .dicom_grid import regular_grid
from .dicom_slice import Slice, is_dicom, numbers_of, open_slice, read_pixels
from .image_file import ImageFile, Note


def series_in(folder: str | Path) -> str | None:
    """The UID of the first image that lies there, also where `open_series` refuses the folder; None if nothing says it."""
    with suppress(CaseError, OSError, StopIteration):
        return str(next(_slices(Path(folder))).header.SeriesInstanceUID)
    return None


def open_series(path: str) -> ImageFile:
    """`path` is a folder that holds one series of images, or a file of that series among others in its folder.

    Sub-folders are not searched; what is no DICOM image is passed over. Columns, rows and slices, along the normal, become
    H, W and D. Raises CaseError unless the slices are one regular grid.
    """
    source = Path(path)
    folder = source if source.is_dir() else source.parent
    chosen = None if folder == source else _uid_of(source)
    series: dict[str, list[Slice]] = defaultdict(list)
    for image in _slices(folder):
        if chosen in (None, image.header.SeriesInstanceUID):
            series[image.header.SeriesInstanceUID].append(image)
    if not series:
        found = "there is none directly in it (links are not followed)"
        raise CaseError(str(folder), "must hold DICOM images", found, "choose the folder of the slices")
    if len(series) > 1:
        found = f"it holds {len(series)}: {'; '.join(map(_describe, series.values()))}"
        remedy = "give one of these files as the image, or each series a folder"
        raise CaseError(path, "must hold one DICOM series", found, remedy)
    (slices,) = series.values()
    return _volume(path, slices, _notes(folder, slices))


def _volume(path: str, slices: list[Slice], notes: list[Note]) -> ImageFile:
    slices = regular_grid(path, slices)
    across = slices[0].across
    if len(slices) > 1:
        step = (slices[-1].position - slices[0].position) / (len(slices) - 1)
    else:
        thickness, note = _thickness(slices[0])
        step, notes = np.cross(*across) * thickness, [*notes, note]
    header = slices[0].header
    shape, files = (int(header.Rows), int(header.Columns)), tuple(str(image.file) for image in slices)
    between_rows, between_columns = map(float, header.PixelSpacing)
    affine = np.eye(4)  # DICOM PS3.3 equation C.7.6.2.1-1
    affine[:3] = np.stack([across[0] * between_columns, across[1] * between_rows, step, slices[0].position], axis=1)
    affine[:2] *= -1  # DICOM counts towards left and back
    return ImageFile(
        path=path,
        shape=(shape[1], shape[0], len(files)),
        channels=1,
        dtype=np.dtype(f"{'i' if header.PixelRepresentation else 'u'}{header.BitsAllocated // 8}"),
        affine=affine,
        notes=tuple(notes),
        read=partial(_voxels, files, shape),
        files=files,
        series=str(header.SeriesInstanceUID),
    )


def _voxels(files: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """shape: (rows, columns)."""
    slices = np.empty((len(files), *shape), np.float32)
    for k, file in enumerate(files):
        slices[k] = read_pixels(file, shape)
    return slices.transpose(2, 1, 0)[None]  # (1, columns, rows, slices)


def _dicom_files(folder: Path) -> Iterator[Path]:
    """In order of name. A link would be a second copy of a slice, or lead out of the folder."""
    for file in sorted(folder.iterdir()):
        if file.name[0] != "." and file.is_file() and not file.is_symlink() and is_dicom(file):
            yield file


def _slices(folder: Path) -> Iterator[Slice]:
    return filter(None, map(open_slice, _dicom_files(folder)))


def _uid_of(file: Path) -> str:
    if not is_dicom(file):
        found = "neither its name nor its first bytes say so"
        raise CaseError(str(file), "must be NIfTI, .nrrd, .mha or DICOM, in one file", found, "save it as one of these")
    image = open_slice(file)
    if image is None:
        raise CaseError(str(file), "must be a DICOM image", "it is an object of another kind", "choose an image file")
    return image.header.SeriesInstanceUID


def _notes(folder: Path, slices: Sequence[Slice]) -> list[Note]:
    notes = []
    if links := sum(file.is_symlink() for file in folder.iterdir()):
        notes.append(Note("slices must be files", f"{links} symbolic links beside them are not followed", corrected=False))
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
