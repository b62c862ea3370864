"""A case -> the headers of its files, checked against each other; no voxel is read."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...basics.case import as_list
from ...basics.geometry import displacement, reoriented, same_place
from ..formats.image_file import ImageFile, Note
from ..formats.open_image import open_image
from .case_error import CaseError

LABELS = ("label", "reference")


@dataclass(frozen=True)
class OpenCase:
    """images: one for each file; label: on the grid of the images, `reorientation` of axes aside; notes: of all files."""

    images: tuple[ImageFile, ...]
    label: ImageFile | None
    notes: tuple[tuple[str, Note], ...]  # with the file that each concerns
    seen: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # of each file its size and time of change

    @property
    def image_files(self) -> list[str]:
        return [file for image in self.images for file in image.files]

    @property
    def label_files(self) -> list[str]:
        return [] if self.label is None else list(self.label.files)

    def require_unchanged(self) -> None:
        """Raises CaseError where a file is no longer what was opened: then its header would not be that of its voxels."""
        for file, before in self.seen.items():
            if _seen(file) != before:
                found, remedy = "it changed after its header was read", "start again when nothing writes it any more"
                raise CaseError(file, "a file must stay as it is while it is read", found, remedy)


def open_case(case: Mapping[Any, Any], modalities: int | None = None) -> OpenCase:
    """case: `image`, a path or one for each modality; `label` or `reference`, a path, where there is one.

    Raises CaseError unless there are `modalities` channels in all, where that is given, and all files lie on one grid. A label
    stored along other axes than its image is put right, if its voxels then lie on the image's.
    """
    images = [open_image(str(file)) for file in as_list(case["image"])]
    first = images[0]
    channels = sum(image.channels for image in images)
    if modalities is not None and channels != modalities:
        found = f"it has {channels} channel{'s' * (channels != 1)} ({len(images)} file{'s' * (len(images) != 1)})"
        remedy = "choose the preset it belongs to; split a time series into volumes"
        raise CaseError(first.path, f"the preset expects {modalities} modalities", found, remedy)
    for image in images[1:]:
        _require_grid(image, first)
    notes = [(image.path, note) for image in images for note in image.notes]
    key = next((key for key in LABELS if case.get(key)), None)
    if key is None:
        return OpenCase(tuple(images), None, tuple(notes), _all_seen(images))
    label, note = _on_grid_of(first, open_image(str(case[key])))
    notes += [(label.path, note) for note in (*label.notes, *note) if note not in first.notes]
    return OpenCase(tuple(images), label, tuple(notes), _all_seen([*images, label]))


def _all_seen(images: Sequence[ImageFile]) -> dict[str, tuple[int, int]]:
    return {file: _seen(file) for image in images for file in image.files}


def _seen(file: str) -> tuple[int, int]:
    try:
        about = os.stat(file)
    except OSError as error:
        found = f"it cannot be found any more ({error.strerror})"
        raise CaseError(file, "a file must stay as it is while it is read", found, "put it back") from error
    return about.st_size, about.st_mtime_ns


def headers_of(case: Mapping[Any, Any], modalities: int | None = None) -> OpenCase:
    """What `check_headers` opened; opened now where nobody did."""
    return case["opened"] if "opened" in case else open_case(case, modalities)


def on_one_grid(image: ImageFile, other: ImageFile) -> bool:
    """Also if stored along other axes."""
    affine, shape = reoriented(other.affine, other.shape, image.affine)
    return shape == image.shape and same_place(image.affine, affine, image.shape)


def require_one_channel(label: ImageFile) -> None:
    """Several are one class each, or times: which values they stand for nobody says."""
    if label.channels != 1:
        found = f"it has {label.channels} channels"
        raise CaseError(label.path, "a label must hold one value for each voxel", found, "write one volume of label values")


def _on_grid_of(image: ImageFile, label: ImageFile) -> tuple[ImageFile, list[Note]]:
    require_one_channel(label)
    if label.shape == image.shape and same_place(image.affine, label.affine, image.shape):
        return label, []
    if on_one_grid(image, label):
        found = f"they are not those of {image.path}, on whose voxels it lies; it is turned"
        return label, [Note("a label should be stored along its image's axes", found, corrected=True)]
    _require_grid(label, image)
    return label, []


def _require_grid(file: ImageFile, image: ImageFile) -> None:
    rule, remedy = "all files of a case must lie on one grid", f"resample it onto {image.path}"
    if file.shape != image.shape:
        found = f"its shape is {' x '.join(map(str, file.shape))}, the other's {' x '.join(map(str, image.shape))}"
        raise CaseError(file.path, rule, found, remedy)
    if not same_place(image.affine, file.affine, image.shape):
        found = f"they lie up to {displacement(image.affine, file.affine, image.shape):.3g} mm apart"
        raise CaseError(file.path, rule, found, remedy)
