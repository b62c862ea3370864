"""Cases -> which of them are held out for validation, or the fold of each, all cases of a subject together."""

import hashlib
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

from ...basics.case import Case, file_of

logger = logging.getLogger(__name__)

BIDS = re.compile(r"(?:^|[/_])(sub-[a-zA-Z0-9]+)")
SUFFIX = re.compile(r"(\.nii)?\.[a-z]+$", re.IGNORECASE)
DATE = re.compile(r"(?<!\d)(\d{2}[-_.]\d{2}[-_.](19|20)\d{2}|(19|20)\d{2}[-_.]?(0\d|1[0-2])[-_.]?([0-2]\d|3[01]))(?!\d)")
YEAR = re.compile(r"[a-z]*(19|20)\d\d", re.IGNORECASE)
COUNTED = re.compile(  # whose number is no subject's
    r"visits?|ses|sess|sessions?|scans?|frames?|time|timepoints?|tp|day|week|month|year|phases?|echo|run|acq|series|exam|"
    r"slices?|views?|raters?|readers?|batch|parts?|fold|sets?|subset|cent(?:er|re)s?|sites?|hospital|cohort|groups?|vendor|v|t",
    re.IGNORECASE,
)
ASPECT = re.compile(  # of a subject: modality, side, time, role, part of the dataset
    r"(?:3d|ce|fs|hr|reg)?t[12](?:w|c|ce|n|f|gd)?|flair|pd|dwi|adc|swi|mra?|mri|cta?|pet|pt|cbct|"
    r"l|r|left|right|lh|rh|ed|es|pre|post|baseline|follow|up|followup|"
    r"images?|imgs?|volumes?|vols?|train|training|tr|val|va|validation|test|testing|ts",
    re.IGNORECASE,
)


def split_subjects(cases: Sequence[Case], fraction: float, seed: int) -> set[int]:
    """Positions of the cases to hold out: those of about `fraction` of the subjects, at least one; none if there is one alone.

    Subjects are drawn in the order of a hash of seed and name, so neither the order of the cases nor their number matters, and
    a new subject moves at most one other.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"val_fraction must lie between 0 and 1, got {fraction}; a fifth of the subjects is 0.2")
    subjects = subjects_of(cases)
    drawn = _drawn(subjects, seed)
    count = min(max(round(fraction * len(drawn)), 1), len(drawn) - 1)
    held_out = set(drawn[: max(count, 0)])
    _say_doubts(cases)
    return {i for i, subject in enumerate(subjects) if subject in held_out}


def fold_subjects(cases: Sequence[Case], folds: int, seed: int) -> list[int]:
    """The fold of each case, from 0: all cases of a subject are in one, and the folds are as large as each other.

    Subjects are dealt out in the order of `split_subjects`, those with the most cases first, each to the fold that has the
    fewest cases by then. So two folds differ by no more cases than one subject has, and of subjects with as many cases each
    by one subject. Neither the order of the cases matters nor where they lie.
    """
    subjects = subjects_of(cases)
    sizes = Counter(subjects)
    if not 2 <= folds <= len(sizes):
        raise ValueError(f"folds must be at least 2, with a subject for each; got {folds} for {len(sizes)} subjects")
    fold_of: dict[str, int] = {}
    held = [(0, 0, number) for number in range(folds)]  # cases, subjects
    for subject in sorted(_drawn(subjects, seed), key=lambda subject: -sizes[subject]):
        in_cases, in_subjects, number = min(held)
        fold_of[subject] = number
        held[number] = (in_cases + sizes[subject], in_subjects + 1, number)
    _say_doubts(cases)
    return [fold_of[subject] for subject in subjects]


def _drawn(subjects: Sequence[str], seed: int) -> list[str]:
    """Each once, in the order of a hash of seed and name."""
    return sorted(set(subjects), key=lambda subject: hashlib.sha256(os.fsencode(f"{seed} {subject}")).digest())


def _say_doubts(cases: Sequence[Case]) -> None:
    for doubt in doubts_about(cases):
        logger.warning("in doubt: %s", doubt)


def subjects_of(cases: Sequence[Case]) -> list[str]:
    """The subject of each case: what it says itself under `subject`, else as `subjects_in` reads it from the first images."""
    read = subjects_in(_paths(cases))
    return [str(case.get("subject") or subject) for case, subject in zip(cases, read, strict=True)]


def subjects_in(paths: Sequence[str]) -> list[str]:
    """The subjects that the paths of images name, relative to their dataset.

    BIDS's `sub-XXX`. Else up to the first number that is not the same in all paths and counts no visits, frames, centres, years
    and the like: patient_1/visit_2 -> patient_1, P1_L -> P1, BraTS2021_00001 -> BraTS2021_00001, CT_001 -> 001. Words before it
    that differ between paths are left out, so that a subject with two scans is never two. Else all that counts nothing else.
    """
    names = [[[*filter(None, re.split(r"[_\-. ]+", part))] for part in PurePath(_bare(path)).parts] for path in paths]
    shared = {
        (i, j, word)
        for i, part in enumerate(names[0] if names else [])
        for j, word in enumerate(part)
        if all(i < len(name) and name[i][j : j + 1] == [word] for name in names)
    }
    return [
        found[1] if (found := BIDS.search(path)) else _subject(name, shared) or SUFFIX.sub("", path)
        for path, name in zip(paths, names, strict=True)
    ]


def doubts_about(cases: Sequence[Case]) -> list[str]:
    """What a person should look at, in words: cases that say no subject and whose names leave it open."""
    paths = _paths([case for case in cases if not case.get("subject")])
    groups: dict[str, list[str]] = defaultdict(list)
    for path, subject in zip(paths, subjects_in(paths), strict=True):
        groups[subject].append(path)
    numberless: dict[str, list[str]] = defaultdict(list)
    for subject, (path, *_) in groups.items():
        if "/" in subject and not re.search(r"\d", subject):
            numberless[subject.rpartition("/")[0]].append(path)
    doubts = [f"{' and '.join(found[:3])} may be one subject" for found in numberless.values() if len(found) > 1]
    largest = max(groups.values(), key=len, default=[])
    if len(paths) > 4 and 2 * len(largest) > len(paths):
        doubts.append(f"{len(largest)} of {len(paths)} cases are taken for one subject; the subjects are {_shown(groups)}")
    apart = [found for found in groups.values() if len({_words_before(path) for path in found}) > 1]
    if apart:
        doubts.append(
            f"{' and '.join(apart[0][:3])} are taken for one subject by their number; the subjects are {_shown(groups)}"
        )
    return doubts


def _shown(groups: dict[str, list[str]]) -> str:
    names = [f"{subject} ({len(found)})" for subject, found in sorted(groups.items())]
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _words_before(path: str) -> tuple[str, ...]:
    """The words of letters before the first number, but for those that name no subject."""
    words = re.split(r"[_\-. /]+", re.split(r"\d", _bare(path))[0])
    return tuple(word for word in words if word and not (COUNTED.fullmatch(word) or ASPECT.fullmatch(word)))


def _paths(cases: Sequence[Case]) -> list[str]:
    """Of the first images, relative to the folder that holds them all."""
    images = [os.path.abspath(file_of(case)) for case in cases]
    folder = os.path.commonpath([os.path.dirname(image) for image in images]) if images else "."
    return [Path(os.path.relpath(image, folder)).as_posix() for image in images]


def _bare(path: str) -> str:
    return DATE.sub("", SUFFIX.sub("", path))


def _subject(name: Sequence[Sequence[str]], shared: set[tuple[int, int, str]]) -> str:
    """name: the words of each folder and of the file; empty if no word is left."""
    later_number = max(((i, j) for i, part in enumerate(name) for j, word in enumerate(part) if _counts(part, j)), default=None)
    kept = []
    for i, part in enumerate(name):
        before = []
        for j, word in enumerate(part):
            is_shared = (i, j, word) in shared
            is_group = YEAR.fullmatch(word) or (i < len(name) - 1 and len(part) == 2 and j == 1 and ASPECT.fullmatch(part[0]))
            is_group = is_group and later_number is not None and (i, j) < later_number
            if _counts(part, j) and not is_shared and not is_group:
                return "_".join([*before, word])
            if is_shared:
                before.append(word)
        kept.append("_".join(word for j, word in enumerate(part) if not _is_aside(part, j)))
    return "/".join(filter(None, kept))


def _counts(part: Sequence[str], j: int) -> bool:
    """Whether it has a number that may be a subject's."""
    return any(map(str.isdecimal, part[j])) and not _is_aside(part, j)


def _is_aside(part: Sequence[str], j: int) -> bool:
    """T1, left, visit, visit2, and the 2 of visit_2."""
    word = part[j]
    return bool(
        ASPECT.fullmatch(word)
        or COUNTED.fullmatch(word.rstrip("0123456789") or "-")
        or (word.isdecimal() and j > 0 and COUNTED.fullmatch(part[j - 1]))
    )
