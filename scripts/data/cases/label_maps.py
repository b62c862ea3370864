"""Images -> which of them are label maps, by folder, name and content; and of which that cannot be told."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ...basics.geometry import same_place
from ..formats.image_file import ImageFile
from ..formats.open_image import SUFFIXES, open_image
from .case_error import CaseError

TOLD_APART = "an image must be told from a label"
WORDS = r"labels?(map)?s?|masks?|msk|segs?|segmentations?|gt|ground[ _-]?truths?|annotations?|contours?"
FOLDER = re.compile(rf"({WORDS})[ _-]?(tr|ts|va|train(ing)?|test(ing)?|val(idation)?|final|original|manual)?", re.IGNORECASE)
NAME = re.compile(rf"(?<![a-z])({WORDS})(?![a-z])", re.IGNORECASE)
CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net's, which a label's name does not have
FEW = 128  # values of a label map: a whole body has 117 structures, an 8-bit image up to 256 grey values
REGIONS = 0.4  # of the neighbours of labelled voxels have the same value; of images and noise hardly any
SAMPLE = 10**6  # voxels, by which most images are told
PARTNERS = 16  # more images than these in one folder are not of one case
LARGEST = 65535


def label_maps(images: Sequence[Path], folder: Path) -> tuple[set[Path], dict[Path, CaseError]]:
    """The labels among `images`, all below `folder`; and those that folder and content contradict each other about.

    A label map has few values, all whole numbers from 0. It is one of which folder or name say so, or which has regions of
    equal values on the grid of an image of the same case: in its folder, or of its name in another one.
    """
    named = {path for path in images if _says_folder(path, folder) or NAME.search(_stem(path))}
    found, doubtful = set(), {}
    for path in sorted(named):
        voxels = _voxels(path)
        if voxels is None:
            continue  # whatever is wrong with it, opening says
        if has_few_values(voxels):
            found.add(path)
        elif _says_folder(path, folder):
            found_there = "it lies in a folder of labels and has an image's values"
            doubtful[path] = CaseError(str(path), TOLD_APART, found_there, "move it, or give the file itself as --input")
    groups: dict[tuple[str, str], set[Path]] = defaultdict(set)
    for path in set(images) - named:
        groups["folder", str(path.parent)].add(path)
        groups["name", CHANNEL.sub("", _stem(path))].add(path)
    for group in groups.values():
        if 1 < len(group) <= PARTNERS:
            found |= _on_an_image(group)
    return found, doubtful


def is_label_map(voxels: np.ndarray) -> bool:
    """By content alone. voxels: (C, H, W, D)."""
    return has_few_values(voxels) and _in_regions(voxels)


def has_few_values(voxels: np.ndarray) -> bool:
    flat = voxels.reshape(-1)
    for part in (flat[:: flat.size // SAMPLE + 1], flat):
        if not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= LARGEST and (part == np.rint(part)).all()):
            return False
        if np.count_nonzero(np.bincount(part.astype(np.uint16))) > FEW:
            return False
    return True


def _in_regions(voxels: np.ndarray) -> bool:
    """Along every axis most neighbours of labelled voxels are equal."""
    for axis in range(1, voxels.ndim):
        one, other = (np.moveaxis(voxels, axis, 0)[place] for place in (slice(1, None), slice(None, -1)))
        labelled = (one != 0) | (other != 0)
        if labelled.any() and (one == other)[labelled].mean() < REGIONS:
            return False
    return bool(voxels.any())


def _on_an_image(group: set[Path]) -> set[Path]:
    """The label maps among files of a case that lie on the grid of another file, which is none."""
    headers: dict[Path, ImageFile] = {}
    for path in group:
        with suppress(Exception):
            headers[path] = open_image(str(path))
    beside = {
        path: {other for other in headers if other != path and _same_grid(headers[path], headers[other])} for path in headers
    }
    read = ((path, _voxels(path)) for path, others in beside.items() if others)
    labels = {path for path, voxels in read if voxels is not None and is_label_map(voxels)}
    return {path for path in labels if not beside[path] <= labels}


def _same_grid(headers: Mapping[Path, ImageFile], *pair: Path) -> bool:
    if not headers.keys() >= set(pair):
        return False
    one, other = (headers[path] for path in pair)
    return one.shape == other.shape and same_place(one.affine, other.affine, one.shape)


def _voxels(path: Path) -> np.ndarray | None:
    with suppress(Exception):  # of a file whose turn to be refused comes later
        return open_image(str(path)).read()
    return None


def _says_folder(path: Path, folder: Path) -> bool:
    return any(FOLDER.fullmatch(name) for name in (folder.name, *path.relative_to(folder).parts[:-1]))


def _stem(path: Path) -> str:
    return next((path.name[: -len(suffix)] for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.name)
