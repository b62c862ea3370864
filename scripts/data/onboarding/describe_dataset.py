"""Found cases -> the content of their dataset.json."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...basics.case import Case
from ..cases.split_subjects import split_subjects, subjects_in, subjects_of
from .find_cases import FoundCase
from .read_list import MADE_BY


def describe_dataset(
    root: Path,
    place: Path,
    cases: Sequence[FoundCase],
    labels: Mapping[str, str],
    modalities: Sequence[str],
    val_fraction: float,
    seed: int,
    subject: str | None = None,
) -> dict[str, Any]:
    """In the form of the Medical Segmentation Decathlon, with the `subject` of each labelled case and with a validation list.

    root: the folder of the data; place: that of dataset.json, which then says where the data are.
    Where folders say which cases are for validation, these are; else they are split off by subject.
    subject: regular expression; the first group of its match in an image's path below `root` is the subject.
    """
    lists: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    cases = sorted(cases, key=lambda case: case.images)
    labelled = [case for case in cases if case.label]
    subjects = dict(zip((case.images for case in labelled), _subjects(root, labelled, subject), strict=True))
    for case in cases:
        lists[case.part].append(_entry(root, case, subjects.get(case.images, "")))
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
    data = {} if place == root else {"data": str(root)}
    return {"name": root.name, "description": MADE_BY, **data, "labels": dict(labels), "modality": modality, **counts, **lists}


def _entry(root: Path, case: FoundCase, subject: str) -> Case:
    images = [_below(root, image) for image in case.images]
    entry: Case = {"image": images if len(images) > 1 else images[0]}
    if case.label:
        entry["label"] = _below(root, case.label)
        entry["subject"] = subject
        if case.annotated:
            entry["annotated"] = list(case.annotated)
    return entry


def _below(root: Path, path: Path) -> str:
    """What is merged may lie beside dataset.json, elsewhere."""
    return f"./{path.relative_to(root).as_posix()}" if path.is_relative_to(root) else str(path)


def _subjects(root: Path, cases: Sequence[FoundCase], pattern: str | None) -> list[str]:
    paths = [case.images[0].relative_to(root).as_posix() for case in cases]
    if pattern is None:
        return [case.subject or read for case, read in zip(cases, subjects_in(paths), strict=True)]
    found = [re.search(pattern, path) for path in paths]
    for path, match in zip(paths, found, strict=True):
        if not match or not match[1]:
            raise ValueError(f"--subject {pattern} must match every image and have a group, it does not match {path}")
    return [match[1] if match else "" for match in found]
