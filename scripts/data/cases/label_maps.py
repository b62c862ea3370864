"""Images -> which of them are label maps, by folder, name and content; and of which that cannot be told."""

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..formats.image_file import ImageFile
from ..formats.open_image import SUFFIXES, open_image
from .case_error import CaseError
from .open_case import on_one_grid

WORDS = r"labels?(map)?s?|masks?|msk|segs?|segmentations?|gt|ground[ _-]?truths?|annotations?|contours?"
FOLDER = re.compile(rf"({WORDS})[ _-]?(tr|ts|va|train(ing)?|test(ing)?|val(idation)?|final|original|manual)?", re.IGNORECASE)
NAME = re.compile(rf"(?<![a-z])({WORDS})(?![a-z])", re.IGNORECASE)
CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net's, which a label's name does not have
# Values of a label map, and of one with regions, by whether its name says so: thin vessels have two and no regions, a whole
# body has 117 structures, an atlas of the cortex some hundreds; an 8-bit image has up to 256 grey values.
LABELS_HAVE = {False: (8, 128), True: (128, 512)}
REGIONS = 0.4  # of the neighbours of labelled voxels have the same value; of images and noise hardly any
SAMPLE = 10**6  # voxels, by which most images are told
PARTNERS = 16  # more images than these in one folder are not of one case
LARGEST = 65535


def label_maps(images: Sequence[Path], folder: Path) -> tuple[set[Path], dict[Path, CaseError]]:
    """The labels among `images`, all below `folder`; and the files of which it cannot be told.

    A label map has few values, all whole numbers from 0. It is one of which folder or name say so, or which has regions of
    equal values on the grid of an image of the same case: in its folder, or of its name in another one.
    """
    named = {path for path in images if _says_folder(path, folder) or NAME.search(_stem(path))}
    found, doubtful = set(), {}

    def doubt(path: Path, why: str) -> None:
        remedy = "move it, or give the image's file as --input"
        doubtful[path] = CaseError(str(path), "an image must be told from a label", why, remedy)

    for path in sorted(named):
        voxels = _voxels(_header(path))  # None: whatever is wrong with it, opening says
        if voxels is not None and is_label_map(voxels, named=True):
            found.add(path)
        elif voxels is not None and _says_folder(path, folder):
            doubt(path, "it lies in a folder of labels and has an image's values")
    groups: dict[tuple[str, str], set[Path]] = defaultdict(set)
    for path in set(images) - named:
        groups["folder", str(path.parent)].add(path)
        groups["name", CHANNEL.sub("", _stem(path))].add(path)
    for group in tqdm(groups.values(), desc="telling labels from images", unit="group", dynamic_ncols=True, leave=False):
        if 1 < len(group) <= PARTNERS:
            headers = {path: header for path in group if (header := _header(path))}
            labels = {path for path in headers if (voxels := _voxels(headers[path])) is not None and is_label_map(voxels)}
            for path in labels:
                if any(on_one_grid(headers[path], headers[other]) for other in headers.keys() - labels):
                    found.add(path)
                else:
                    doubt(path, "it has a label's values, and no image beside it has its grid")
    return found, {path: error for path, error in doubtful.items() if path not in found}


def is_label_map(voxels: np.ndarray, named: bool = False) -> bool:
    """The one rule by which labels are told from images: whole numbers from 0, few of them; of more, in regions.

    Args:
        voxels: (C, H, W, D).
        named: folder or name says that these are labels. Else the background must be among the values, and not be all there is.
    """
    if not named and (voxels.min() > 0 or not voxels.any()):
        return False
    count, (certain, most) = _number_of_values(voxels), LABELS_HAVE[named]
    return count <= certain or (count <= most and _has_regions(voxels))


def _number_of_values(voxels: np.ndarray) -> float:
    """Infinite where some are not whole, negative or too large."""
    count, flat = 0.0, voxels.reshape(-1)
    for part in (flat[:: flat.size // SAMPLE + 1], flat):
        if not (np.isfinite(part).all() and part.min() >= 0 and part.max() <= LARGEST and (part == np.rint(part)).all()):
            return np.inf
        count = float(np.count_nonzero(np.bincount(part.astype(np.uint16))))
        if count > LABELS_HAVE[True][1]:
            break
    return count


def _has_regions(voxels: np.ndarray) -> bool:
    """Along every axis most labelled neighbours are equal."""
    for axis in range(1, voxels.ndim):
        one, other = (np.moveaxis(voxels, axis, 0)[place] for place in (slice(1, None), slice(None, -1)))
        labelled = (one != 0) | (other != 0)
        if labelled.any() and (one == other)[labelled].mean() < REGIONS:
            return False
    return True


def _header(path: Path) -> ImageFile | None:
    with suppress(Exception):
        return open_image(str(path))
    return None


def _voxels(image: ImageFile | None) -> np.ndarray | None:
    with suppress(Exception):  # of a file whose turn to be refused comes later
        return image.read() if image else None
    return None


def _says_folder(path: Path, folder: Path) -> bool:
    return any(FOLDER.fullmatch(name) for name in (folder.name, *path.relative_to(folder).parts[:-1]))


def _stem(path: Path) -> str:
    return next((path.name[: -len(suffix)] for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.name)
