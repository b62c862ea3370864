"""One file a structure, or segments by name -> one label map for each case, and what its values mean."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from ...basics.geometry import same_place
from ...files.atomic_write import atomic_write
from ..cases.case_error import CaseError
from ..cases.open_case import require_one_channel
from ..formats.open_image import open_image
from .find_cases import MERGED, FoundCase, FoundCases

Segments = dict[str, tuple[int, int]]  # name -> layer and value in the file


def merge_structures(found: FoundCases, root: Path, by_name: bool) -> tuple[dict[int, str], dict[Path, set[int]]]:
    """The names of the values, and those in each label that was written to `labels_merged` below `root`.

    by_name: also the segmentations of 3D Slicer, whose values mean something else in each file.

    Where structures overlap, the smaller one keeps the voxels. Structures that a case has no file of are taken for absent.
    """
    sources = {i: made for i, case in enumerate(found.cases) if (made := _sources(case, by_name))}
    names = sorted({name for made in sources.values() for _, segments in made for name in segments})
    values, overlaps, missing = {}, Counter(), Counter()
    for i, made in tqdm(sources.items(), desc="merging structures", unit="case", dynamic_ncols=True):
        case = found.cases[i]
        path = root / MERGED / f"{case.name or case.images[0].parent.name}_{i}.nii.gz"
        try:
            merged = _merged(case, made, names, overlaps)
        except CaseError as error:
            found.problems.append(error)
            continue
        missing.update(set(names) - {name for _, segments in made for name in segments})
        with atomic_write(path) as temporary:
            nib.save(merged, temporary)
        values[path] = set(np.unique(np.asanyarray(merged.dataobj)).tolist())
        found.cases[i] = replace(case, label=path, structures=())
    for (a, b), count in overlaps.most_common(5):
        found.doubts.append(f"{a} and {b} overlap in {count} voxels, which the smaller one keeps")
    if missing:
        shown = ", ".join(f"{name} ({count})" for name, count in missing.most_common(5))
        found.doubts.append(f"not every case has a file for each structure, which is taken for absent there: {shown}")
    return dict(enumerate(names, 1)), values


def segments_of(label: Path) -> Segments:
    """Of a segmentation of 3D Slicer (.seg.nrrd); empty for any other file."""
    if not label.name.lower().endswith(".seg.nrrd"):
        return {}
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(label))
    try:
        reader.ReadImageInformation()
        count = sum(key.endswith("_LabelValue") for key in reader.GetMetaDataKeys())
        read = [{key: _meta(reader, f"Segment{k}_{key}") for key in ("Name", "LabelValue", "Layer")} for k in range(count)]
        return {
            one["Name"]: (int(one["Layer"] or 0), int(one["LabelValue"])) for one in read if one["Name"] and one["LabelValue"]
        }
    except (RuntimeError, ValueError):  # whoever reads its voxels will say why
        return {}


def _meta(reader: sitk.ImageFileReader, key: str) -> str:
    return reader.GetMetaData(key) if reader.HasMetaDataKey(key) else ""


def segments_need_merging(labels: Sequence[Path]) -> dict[int, str] | None:
    """The names of values that all Slicer files agree on; None if they do not."""
    names: dict[int, str] = {}
    values: dict[str, int] = {}
    for label in labels:
        for name, (layer, value) in segments_of(label).items():
            if layer or names.setdefault(value, name) != name or values.setdefault(name, value) != value:
                return None
    return names


def _sources(case: FoundCase, by_name: bool) -> list[tuple[Path, Segments]]:
    """Files and what of them is a structure; value 0: whatever is not 0."""
    if by_name and case.label and (segments := segments_of(case.label)):
        return [(case.label, segments)]
    return [(path, {name: (0, 0)}) for name, path in case.structures]


def _merged(
    case: FoundCase, sources: Sequence[tuple[Path, Segments]], names: Sequence[str], overlaps: Counter
) -> nib.Nifti1Image:
    label, affine, sizes = None, np.eye(4), np.zeros(len(names) + 1, int)
    for path, segments in sources:
        file = open_image(str(path))
        if not any(value for _, value in segments.values()):  # layers are Slicer's
            require_one_channel(file)
        voxels = file.read()
        if label is None:
            label, affine = np.zeros(file.shape, np.uint16), file.affine
        elif file.shape != label.shape or not same_place(affine, file.affine, file.shape):
            rule, where = "all files of a case must lie on one grid", f"its grid is not that of {sources[0][0]}"
            raise CaseError(str(path), rule, where, "resample it onto that grid")
        for name, (layer, value) in segments.items():
            mask = voxels[layer] == value if value else voxels[layer] != 0
            k = names.index(name) + 1
            sizes[k] = mask.sum()
            before = label[mask]
            for other, count in zip(*np.unique(before[before > 0], return_counts=True), strict=True):
                overlaps[names[other - 1], name] += int(count)
            label[mask] = np.where((before == 0) | (sizes[before] > sizes[k]), k, before)
    return nib.Nifti1Image(label, affine)
