"""Cases -> which of them are held out for validation, all cases of a subject together."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from ...basics.case import Case, file_of

BIDS = re.compile(r"(?:^|[/_])(sub-[a-zA-Z0-9]+)")
UP_TO_ITS_NUMBER = re.compile(r".*?\d{2,}")
SUFFIX = re.compile(r"(\.nii)?\.[a-z]+$", re.IGNORECASE)


def split_subjects(cases: Sequence[Case], fraction: float, seed: int) -> set[int]:
    """Positions of the cases to hold out: those of about `fraction` of the subjects, at least one; none if there is one alone.

    Subjects are drawn in the order of a hash of seed and name, so neither the order of the cases nor their number matters, and
    a new subject moves at most one other.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"val_fraction must lie between 0 and 1, got {fraction}; a fifth of the subjects is 0.2")
    subjects = subjects_of(cases)
    drawn = sorted(set(subjects), key=lambda subject: hashlib.sha256(os.fsencode(f"{seed} {subject}")).digest())
    count = min(max(round(fraction * len(drawn)), 1), len(drawn) - 1)
    held_out = set(drawn[: max(count, 0)])
    return {i for i, subject in enumerate(subjects) if subject in held_out}


def subjects_of(cases: Sequence[Case]) -> list[str]:
    """The subject of each case: what it says itself under `subject`, else as `subject_in` reads it from its first image."""
    images = [os.path.abspath(file_of(case)) for case in cases]
    folder = os.path.commonpath([os.path.dirname(image) for image in images]) if images else "."
    relative = [Path(os.path.relpath(image, folder)).as_posix() for image in images]
    return [str(case.get("subject") or subject_in(path)) for case, path in zip(cases, relative, strict=True)]


def subject_in(path: str) -> str:
    """The subject that the path of an image names, relative to its dataset.

    BIDS's `sub-XXX`; else the first of its folders and file that has a number of two or more digits, up to that number
    (patient001_frame01.nii.gz and patient001/scan_02.nii.gz -> patient001, T1_001 -> T1_001); else the whole path.
    """
    if found := BIDS.search(path):
        return found[1]
    numbered = (UP_TO_ITS_NUMBER.match(name) for name in PurePath(path).parts)
    return next((found[0] for found in numbered if found), SUFFIX.sub("", path))
