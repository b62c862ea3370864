"""Folders of masks, references and images, of whatever tool -> which of them belong to one case."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...basics.case import NamedCase, Refused
from ...basics.map_files import MAP_FILE
from ..cases.case_error import CaseError
from ..formats.open_image import is_image
from ..onboarding.case_file import CaseFile, original_stem
from ..onboarding.pair_files import pair_files

logger = logging.getLogger(__name__)


class MaskPair(NamedTuple):
    """name: of the mask, below its folder and without suffix. image: None where there is none."""

    name: str
    mask: Path
    reference: Path
    image: Path | None


class MaskPairs(NamedTuple):
    """refused: masks that cannot be compared. missing: references without a mask."""

    pairs: list[MaskPair]
    refused: list[Refused[NamedCase]]
    missing: list[Path]


def pair_masks(masks: Path, references: Path, images: Path | None = None) -> MaskPairs:
    """Pairs files by their names as `sam3d dataset` does: case_seg.nii.gz, case.nii.gz and case_0000.nii.gz are one case.

    Of several images of a case the first serves.

    Raises:
        CaseError: where a folder holds no images.
    """
    mask_files = [file for file in _files(masks) if not MAP_FILE.search(file.path.name)]
    reference_files = [file for file in _files(references) if file.path not in {mask.path for mask in mask_files}]
    pairs, alone = pair_files(mask_files, reference_files)
    of_case = {} if images is None else _images_of(mask_files, _files(images))
    found = MaskPairs([], [], [])
    rule = "a mask must have one reference"

    def refuse(mask: Path, reason: str, remedy: str) -> None:
        case: NamedCase = {"image": str(mask), "name": original_stem(mask)}
        found.refused.append(Refused(case, CaseError(str(mask), rule, reason, remedy)))

    for pair in pairs:
        of_pair = [file.path for group in pair.images.values() for file in group]
        if not of_pair:
            found.missing.extend(file.path for file in pair.labels)
        elif len(of_pair) > 1 or len(pair.labels) > 1:
            names = ", ".join(sorted(path.name for path in [*of_pair, *(file.path for file in pair.labels)]))
            for mask in of_pair:
                refuse(mask, f"by their names these are one case: {names}", "leave one mask and one reference of it")
        else:
            mask, reference = of_pair[0], pair.labels[0].path
            name = str(mask.relative_to(masks).with_name(original_stem(mask)))
            found.pairs.append(MaskPair(name, mask, reference, of_case.get(mask)))
    for file in alone:
        refuse(file.path, f"no name in {references} is like its own", "name both after the case")
    found.pairs.sort()
    return found


def _images_of(masks: Sequence[CaseFile], images: Sequence[CaseFile]) -> dict[Path, Path]:
    """Mask -> the first of its images by name, as of nnU-Net case_0000.nii.gz."""
    pairs, _ = pair_files(images, masks)
    found = {}
    for pair in pairs:
        if pair.images and len(pair.labels) == 1:
            found[pair.labels[0].path] = pair.images[min(pair.images)][0].path
    return found


def _files(folder: Path) -> list[CaseFile]:
    paths = [path for path in sorted(folder.rglob("*")) if path.name[0] != "." and path.is_file() and is_image(path)]
    if not paths:
        found = "there is none"
        raise CaseError(str(folder), "must hold images (NIfTI, NRRD, MetaImage)", found, "correct the path")
    return [CaseFile(path, path.relative_to(folder)) for path in paths]
