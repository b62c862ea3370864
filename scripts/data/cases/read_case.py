"""A case's files -> its volumes with their geometry, every voxel checked: the one way in which voxels are read."""

from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils.enums import MetaKeys, SpaceKeys

from ...basics.case import Case, file_of
from ...basics.classes import classes_of, merged_values
from ...basics.geometry import reorientation
from ..formats.image_file import ImageFile, Note
from .case_error import CaseError
from .label_values import folded, ignored_values, label_values, to_classes, to_mask_values
from .open_case import LABELS, headers_of

DOUBT = "doubt"  # in `meta`: "rule; what was found", a text since batches are made of texts of any length
WHOLE = 1e-3  # how far a stored label may be from a whole number: scaled integers are not exact


class ReadCased(Transform):
    """`image` -> MetaTensor (M, H, W, D), and `label` or `reference`, where there is one, (1, H, W, D) on the same grid.

    A `label`, for training, holds class numbers 0, 1, ... in place of the values, where it is to be ignored the number of
    classes, and in a case of which only some classes are `annotated` the number of its label set (-1, -2, ...) in place of 0;
    a `reference`, for evaluation, the values that masks have.
    `filename_or_obj` in `meta` is the path, of several modalities the first; `stored_shape` and `stored_affine` are the file's.
    Headers that were `opened` before are not opened again.

    Args:
        modalities: number of image channels M.
        labels: label value -> name; a label may hold no other value.
        empty_labels: accept labels without any structure. A `reference` may always be empty.
        ignore_label: further values, of voxels that nobody labelled. A case of such voxels alone is refused.
        merge_labels: class -> the labels that it is made of, see `classes_of`. Empty: every label is a class.

    Raises:
        ValueError: for a value that is in `labels` and in `ignore_label`, and for labels that cannot be merged like this.
        CaseError: which names the file, for whatever is wrong in the headers (`open_case`) or among the voxels.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import ReadCased, read_datalist
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 1, "validation": 1}, shape=(16, 14, 8))
        ...     case = ReadCased(modalities=1, labels=LABELS)(read_datalist(folder)["training"].cases[0])
        >>> tuple(case["image"].shape), case["label"].unique().tolist()
        ((1, 16, 14, 8), [0.0, 1.0, 2.0, 3.0])
    """

    def __init__(
        self,
        modalities: int,
        labels: Mapping[str, str],
        empty_labels: bool = False,
        ignore_label: Sequence[int] = (),
        merge_labels: Mapping[str, Sequence[str | int]] = {},
    ) -> None:
        self.modalities = modalities
        self.stored = label_values(labels)
        classes = classes_of(labels, merge_labels)
        self.values = label_values(classes)
        self.names = dict(zip(self.values, classes.values(), strict=True))
        self.merged = {value: to for value, to in merged_values(labels, merge_labels).items() if to != value}
        self.ignored = ignored_values(ignore_label, labels)
        self.empty_labels = empty_labels

    def __call__(self, data: Case) -> dict[str, Any]:
        case = headers_of(data, self.modalities)
        image = np.concatenate([self._read_image(file) for file in case.images])
        read = {"image": tensor_of(image, file_of(data), case.images[0].affine)}
        if case.label is not None:
            key = next(key for key in LABELS if data.get(key))
            label = turned(self._read_label(case.label, key == "reference"), case.label, case.images[0])
            self._require_annotated(label, case.label, data.get("annotated"))
            if key == "label":
                label = to_classes(label, self.values, self.ignored)
                if "label_set" in data:
                    label[label == 0] = -1 - data["label_set"]
            read[key] = tensor_of(label, case.label.path, case.images[0].affine)
        # Without what was for finding and checking: some cases have it and some have not, which no batch may.
        left_out = {"opened", "subject", "label_set", *(["annotated"] if "label" in read else [])}
        return {key: value for key, value in data.items() if key not in left_out} | read

    def _read_image(self, file: ImageFile) -> np.ndarray:
        voxels = file.read()
        wrong = voxels.size - int(np.isfinite(voxels).sum())
        if wrong:
            found = f"{wrong} voxels are NaN, infinite, or too large for single precision"
            raise CaseError(file.path, "intensities must be finite", found, "export the image again or replace those values")
        for channel in voxels:
            if channel.min() == channel.max():
                found = f"every voxel is {channel.min():g}"
                raise CaseError(file.path, "an image must have contrast", found, "export it again")
        return voxels

    def _read_label(self, file: ImageFile, may_be_empty: bool) -> np.ndarray:
        label = read_whole_numbers(file)
        found_values = np.unique(label)
        wrong = [f"{value:g}" for value in found_values if value not in (*self.stored, *self.ignored)]
        if wrong:
            rule = f"a label may hold the values of the preset, {', '.join(map(str, [*self.stored, *self.ignored]))}"
            found = f"found {', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}"
            raise CaseError(file.path, rule, found, "correct the label or the preset's list of labels")
        labelled = {*found_values} - {*self.ignored}
        if not labelled:
            found = f"every voxel is to be ignored ({', '.join(f'{value:g}' for value in found_values)})"
            raise CaseError(file.path, "some voxels must be labelled", found, "label it or leave it out")
        if not (may_be_empty or self.empty_labels) and {self.merged.get(value, value) for value in labelled} == {0}:
            remedy = "label it, leave it out, or set empty_labels to true"
            found = "every voxel is background" + " or to be ignored" * bool({*found_values} & {*self.ignored})
            by_merging = ", since merge_labels has none of its labels" if labelled != {0} else ""
            raise CaseError(file.path, "a label must show a structure", found + by_merging, remedy)
        return to_mask_values(label, self.merged)

    def _require_annotated(self, label: np.ndarray, file: ImageFile, annotated: Sequence[str] | None) -> None:
        if annotated is None:
            return
        known = set(map(folded, annotated))
        others = [value for value, name in self.names.items() if value and folded(name) not in known]
        if wrong := [value for value in others if (label == value).any()]:
            rule = "a label may hold the classes that are annotated in its case alone"
            found = f"found {wrong[0]} ({self.names[wrong[0]]}) and annotated lists {', '.join(annotated)}"
            raise CaseError(file.path, rule, found, "correct the label, or annotated in dataset.json")


def read_whole_numbers(file: ImageFile) -> np.ndarray:
    """The voxels of a label. Raises CaseError for others than whole numbers."""
    stored = file.read()
    if not np.isfinite(stored).all():
        raise CaseError(file.path, "labels must be whole numbers", "some voxels are NaN or infinite", "correct the label")
    label = np.rint(stored)
    if np.abs(stored - label).max() > WHOLE:
        found = f"found {stored.flat[np.abs(stored - label).argmax()]:g}"
        raise CaseError(file.path, "labels must be whole numbers", found, "resample it by nearest neighbours")
    return label


def turned(label: np.ndarray, file: ImageFile, image: ImageFile) -> np.ndarray:
    """(1, H, W, D) along the axes of the image."""
    return np.moveaxis(nib.apply_orientation(np.moveaxis(label, 0, -1), reorientation(file.affine, image.affine)), -1, 0)


def tensor_of(voxels: np.ndarray, path: str, affine: np.ndarray) -> MetaTensor:
    meta = {
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.array(voxels.shape[1:]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
        MetaKeys.SPACE: SpaceKeys.RAS,
        "filename_or_obj": path,
        DOUBT: "",
        "stored_shape": torch.tensor(voxels.shape[1:]),
        "stored_affine": torch.from_numpy(affine.copy()),
    }
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(voxels)), affine=torch.from_numpy(affine.copy()), meta=meta)


def read_from(tensor: MetaTensor) -> str:
    """The file that a tensor was read from."""
    return str(tensor.meta.get("filename_or_obj", "a tensor without a file"))


def doubt(tensor: MetaTensor, note: Note) -> None:
    """Notes what a person should look at, of which the last one counts."""
    tensor.meta[DOUBT] = f"{note.rule}; {note.found}"


def doubts_of(data: Mapping[Any, Any], file: str) -> list[tuple[str, Note]]:
    """What transforms noted about an image, with the file that it concerns."""
    text = data["image"].meta.get(DOUBT) if isinstance(data.get("image"), MetaTensor) else None
    if not text:
        return []
    rule, found = text.split("; ", 1)
    return [(file, Note(rule, found, corrected=False))]
