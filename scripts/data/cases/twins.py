"""Voxels -> what a case shows, in short; and which cases show the same: one scan saved twice, one label for two images.

A scan is known by the means of 8 x 8 x 8 blocks. They are nearly the same in any format, data type and scale, and after lossy
compression, where bytes and voxels differ.
"""

from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from ...basics.case import Case, as_list, file_of
from ...files.file_digest import digest
from ..formats.image_file import Note
from .split_subjects import subjects_of

BLOCKS = 8  # along each axis
SAME = 0.9999  # correlation; two moments of one heart reach 0.9995 (80 patients of ACDC), two hippocampi 0.92 (200 of MSD)
TOGETHER = 1024  # rows that are compared at once


class Shown(NamedTuple):
    """label: digest of the classes, empty for background alone. images: of each channel the block means, as text."""

    label: str
    images: tuple[str, ...]


def shown_in(data: Mapping[Any, Any]) -> Shown:
    """data: `image` (M, H, W, D) and `label` (1, H, W, D) as they were read, with their affine."""
    to_ras = nib.io_orientation(data["image"].affine.numpy())
    label = nib.apply_orientation(data["label"][0].numpy(), to_ras).clip(min=0).astype(np.uint16)
    means = [_block_means(nib.apply_orientation(channel.numpy(), to_ras)) for channel in data["image"]]
    return Shown(
        digest(repr(label.shape), label.tobytes()) if label.any() else "",
        tuple(b64encode(mean.astype("<f2").tobytes()).decode() for mean in means),
    )


def restored(saved: Any) -> Shown:
    """From JSON. Raises ValueError or TypeError for what was never saved."""
    label, images = saved
    for text in images:
        _means_in(text)
    return Shown(str(label), tuple(images))


def _means_in(text: str) -> np.ndarray:
    return np.frombuffer(b64decode(text, validate=True), "<f2").astype(np.float32)


def _block_means(voxels: np.ndarray) -> np.ndarray:
    """Without offset and scale."""
    for axis, size in enumerate(voxels.shape):
        starts = np.unique(np.arange(BLOCKS) * size // BLOCKS)
        sizes = np.diff([*starts, size]).reshape([-1 if i == axis else 1 for i in range(3)])
        voxels = np.add.reduceat(voxels, starts, axis, dtype=np.float64) / sizes
    means = voxels.ravel() - voxels.mean()
    return means / (np.linalg.norm(means) or 1)


def notes_on_twins(cases: Sequence[tuple[str, Case, Shown]]) -> list[list[tuple[str, Note]]]:
    """For each case, given with its part: what it should not have in common with an earlier one, and its channels with each
    other."""
    notes: list[list[tuple[str, Note]]] = [[] for _ in cases]
    twins: dict[int, list[int]] = defaultdict(list)
    for one, other in sorted(set(_alike([shown.images for _, _, shown in cases]))):
        twins[other].append(one)
    labels: dict[str, int] = {}
    parts: dict[str, tuple[str, Case]] = {}  # of each subject the first case
    subjects = subjects_of([case for _, case, _ in cases])
    for i, (part, case, shown) in enumerate(cases):
        file = file_of(case)
        if i in twins[i]:
            found = "two of them show the same" + (f": {', '.join(as_list(case['image']))}" * (len(as_list(case["image"])) > 1))
            notes[i].append((file, Note("the modalities of a case should differ", found, corrected=False)))
        first_part, first = parts.setdefault(subjects[i], (part, case))
        if twin := next((cases[j] for j in twins[i] if cases[j][0] != part), None):
            found = f"it shows the same as {file_of(twin[1])}, which is in {twin[0]}: scores come out too good"
            notes[i].append((file, Note("training and validation should not share images", found, corrected=False)))
        elif first_part != part:
            found = f"by its name it is of {subjects[i]}, as {file_of(first)}, which is in {first_part}; if not, say `subject`"
            notes[i].append((file, Note("training and validation should not share subjects", found, corrected=False)))
        j = labels.setdefault(shown.label, i)
        if shown.label and j != i and j not in twins[i]:
            found = f"that of {file_of(cases[j][1])} is the same, voxel for voxel"
            note = Note("each image should have a label of its own", found, corrected=False)
            notes[i].append((case.get("label", file), note))
    return notes


def _alike(images: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, int]]:
    """Positions (i, j), i <= j, of which a channel shows the same; (i, i): two channels of one."""
    rows: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)  # by number of blocks: a flat volume has fewer
    for i, channels in enumerate(images):
        for text in channels:
            means = _means_in(text)
            rows[means.size].append((i, means))
    for group in rows.values():
        owners, means = [i for i, _ in group], np.stack([mean for _, mean in group])
        for start in range(0, len(means), TOGETHER):
            for one, other in np.argwhere(means[start : start + TOGETHER] @ means.T > SAME):
                if start + one < other:
                    yield owners[start + one], owners[other]
