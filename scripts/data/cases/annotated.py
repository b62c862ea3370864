"""A case whose label tells of some classes only -> the classes that a voxel of value 0 may be of.

`dataset.json` names in `annotated` what the label tells of. Elsewhere, where the label is 0, is the background or any other
class: a *label set* (Fidon et al., "Label-set loss functions for partial supervision", MICCAI 2021). The sets of a dataset are
numbered, and in the classes that the network is trained on a voxel of set i is -1 - i.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ...basics.case import Case, Listed, file_of
from ...basics.classes import MergeLabels, classes_of, merged_values
from ...basics.regions import Regions
from ..formats.image_file import Note
from .case_error import CaseError
from .label_values import folded

logger = logging.getLogger(__name__)


def annotated_names(said: Any, labels: Mapping[str, str], where: str) -> list[str] | None:
    """Of an entry of a dataset.json: the names in the preset's spelling and order, None if these are all.

    labels: the preset's; without any the names are left as they stand.

    Raises CaseError for what is no list of names, an empty one, and a name that is not one of the preset's structures.
    """
    rule = "annotated must list names of the preset's labels"
    remedy = 'write it as ["liver", ...]; without it the label tells of all classes'
    if not (isinstance(said, list) and said and all(isinstance(name, str) for name in said)):
        raise CaseError(where, rule, f"found {said!r:.80}", remedy)
    if not labels:
        return said
    names = {folded(name): name for name in list(labels.values())[1:]}
    if unknown := [name for name in said if folded(name) not in names]:
        raise CaseError(where, rule, f"found {unknown[0]!r}, which is none of {', '.join(names.values())}", remedy)
    chosen = set(map(folded, said))
    return [name for key, name in names.items() if key in chosen] if len(chosen) < len(names) else None


def merge_annotated(cases: Sequence[Case], labels: Mapping[str, str], merge_labels: MergeLabels) -> None:
    """Names in `annotated` the classes that are made of annotated labels alone, and drops it where these are all; in place.

    Raises ValueError for a case that tells of no class.
    """
    if not merge_labels:
        return
    classes, merged = classes_of(labels, merge_labels), merged_values(labels, merge_labels)
    for case in cases:
        if "annotated" not in case:
            continue
        hidden = {classes[str(merged[int(value)])] for value, name in labels.items() if name not in case["annotated"]}
        told = [name for name in list(classes.values())[1:] if name not in hidden]
        if not told:
            raise ValueError(
                f"{file_of(case)}: annotated for {', '.join(case['annotated'])} alone, it tells of no class: each of "
                f"{', '.join(merge_labels)} has other labels too; leave the case out of dataset.json, or change merge_labels"
            )
        if len(told) < len(classes) - 1:
            case["annotated"] = told
        else:
            del case["annotated"]


def number_label_sets(parts: Sequence[Listed[Case]]) -> None:
    """Gives each partly annotated case the number of its `label_set`, the same for the same annotation; in place."""
    cases = [case for listed in parts for case in listed.cases]
    count = Counter(tuple(case["annotated"]) for case in cases if "annotated" in case)
    numbers = {annotated: number for number, annotated in enumerate(sorted(count))}
    for case in cases:
        if "annotated" in case:
            case["label_set"] = numbers[tuple(case["annotated"])]
    for annotated, cases_of_it in sorted(count.items()):
        logger.info("%d of %d cases are labelled for %s alone", cases_of_it, len(cases), ", ".join(annotated))


def annotation_of(case: Case) -> tuple[str, ...]:
    """What of it must be the same for the same classes, beside the bytes of the files."""
    return (json.dumps([case["annotated"], case.get("label_set")]),) if "annotated" in case else ()


def notes_on_annotation(case: Case) -> list[tuple[str, Note]]:
    """For the report of an evaluation."""
    if "annotated" not in case:
        return []
    found = f"it is labelled for {', '.join(case['annotated'])} alone; other classes are not measured in this case"
    return [(file_of(case), Note("a label should tell of all classes", found, corrected=False))]


def label_sets(
    cases: Mapping[str, Sequence[Case]], labels: Mapping[str, str], regions: Regions = MappingProxyType({})
) -> dict[int, list[int]]:
    """Lists what may hide behind the background of partly annotated cases.

    Args:
        cases: of each part (training, validation), as `check_training` gives them.
        labels: of the classes, value in masks -> name.
        regions: the preset's, name -> those values.

    Returns:
        Of each number that a case has as its `label_set` the classes that nobody annotated; empty where all cases tell of all
        classes.

    Raises:
        ValueError: if there are regions, and cases that tell of none of them.

    Example:
        >>> from scripts.data import label_sets
        >>> labels = {"0": "background", "1": "liver", "2": "spleen", "7": "tumour"}
        >>> case = {"image": "a.nii.gz", "label": "b.nii.gz", "annotated": ["spleen"], "label_set": 0}
        >>> label_sets({"training": [case], "validation": []}, labels)
        {0: [1, 3]}
    """
    known = {
        case["label_set"]: case["annotated"]
        for part in cases.values()
        for case in part
        if "label_set" in case and "annotated" in case
    }
    names = {int(value): name for value, name in labels.items()}
    for annotated in known.values():
        if regions and all(any(names[value] not in annotated for value in members) for members in regions.values()):
            raise ValueError(
                f"cases that are annotated for {', '.join(annotated)} alone tell of no region: each of {', '.join(regions)} "
                "has labels that may hide in their background; leave these cases out of dataset.json"
            )
    classes = list(enumerate(labels.values()))[1:]
    return {
        number: [class_number for class_number, name in classes if name not in annotated]
        for number, annotated in sorted(known.items())
    }
