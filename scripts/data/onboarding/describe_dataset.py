"""Found cases -> the content of their dataset.json."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...basics.case import Case
from ..cases.split_subjects import split_subjects, subject_in, subjects_of
from .find_cases import FoundCase

MADE_BY = "written by sam3d dataset"


def describe_dataset(
    root: Path,
    cases: Sequence[FoundCase],
    labels: Mapping[str, str],
    modalities: Sequence[str],
    val_fraction: float,
    seed: int,
    subject: str | None = None,
) -> dict[str, Any]:
    """In the form of the Medical Segmentation Decathlon, with the `subject` of each labelled case and with a validation list.

    Where folders say which cases are for validation, these are; else they are split off by subject.
    subject: regular expression; the first group of its match in an image's path below `root` is the subject.
    """
    lists: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    for case in sorted(cases, key=lambda case: case.images):
        lists[case.part].append(_entry(root, case, subject))
    if not lists["validation"]:
        held_out = split_subjects(lists["training"], val_fraction, seed)
        lists["validation"] = [case for i, case in enumerate(lists["training"]) if i in held_out]
        lists["training"] = [case for i, case in enumerate(lists["training"]) if i not in held_out]
    if not (lists["training"] and lists["validation"]):
        labelled = lists["training"] + lists["validation"]
        found = f"found {len(labelled)} of {', '.join(sorted(set(subjects_of(labelled)))) or 'none'}"
        raise ValueError(f"training and validation need labelled cases of a subject each; {found}; see --subject")
    counts = {f"num{part.capitalize()}": len(entries) for part, entries in lists.items()}
    modality = {str(i): name for i, name in enumerate(modalities)}
    return {"name": root.name, "description": MADE_BY, "labels": dict(labels), "modality": modality, **counts, **lists}


def _entry(root: Path, case: FoundCase, subject: str | None) -> Case:
    images = [_below(root, image) for image in case.images]
    entry: Case = {"image": images if len(images) > 1 else images[0]}
    if case.label:
        entry["label"] = _below(root, case.label)
        entry["subject"] = _subject(images[0].removeprefix("./"), subject)
    return entry


def _below(root: Path, path: Path) -> str:
    return f"./{path.relative_to(root).as_posix()}"


def _subject(path: str, pattern: str | None) -> str:
    if pattern is None:
        return subject_in(path)
    found = re.search(pattern, path)
    if not found or not found[1]:
        raise ValueError(f"--subject {pattern} must match every image and have a group, it does not match {path}")
    return found[1]
