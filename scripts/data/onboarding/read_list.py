"""A list of cases that is there already -> the same cases: the Decathlon's, nnU-Net's `dataset`, MONAI's with folds."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...basics.case import as_list
from ..cases.annotated import annotated_names
from ..cases.case_error import CaseError
from ..cases.datalist import PARTS, is_path, list_cases
from .find_cases import FoundCase, FoundCases

MADE_BY = "written by sam3d dataset"


def find_list(folder: Path, known: Mapping[str, Any]) -> tuple[Path, dict[str, list[Any]]] | None:
    """Of the dataset.json that is `known`, or of the only other JSON file directly in the folder that lists cases."""
    if known.get("description") != MADE_BY and (lists := _lists(known)):
        return folder / "dataset.json", lists
    others = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            continue
        ours = isinstance(content, dict) and content.get("description") == MADE_BY
        if path.name != "dataset.json" and not ours and (lists := _lists(content)):
            others.append((path, lists))
    return others[0] if len(others) == 1 else None


def read_list(path: Path, lists: dict[str, list[Any]]) -> FoundCases | None:
    """None if it names no image that exists, as nnU-Net's first version does. Fold 0 is for validation."""
    images = [as_list(entry["image"])[0] for entry in lists["training"]]
    if not any(isinstance(image, str) and (path.parent / image).exists() for image in images):
        return None
    found = FoundCases(doubts=[])
    if not lists["validation"] and all(isinstance(entry.get("fold"), int) for entry in lists["training"]):
        lists["validation"] = [entry for entry in lists["training"] if entry["fold"] == 0]
        lists["training"] = [entry for entry in lists["training"] if entry["fold"] != 0]
        found.doubts.append(f"{path.name} has folds: fold 0 is taken for validation, all others for training")
    for part in PARTS:
        if lists[part]:
            listed = list_cases(path, lists, part, labelled=False)
            found.problems += [error for _, error in listed.refused if isinstance(error, CaseError)]
            for case in listed.cases:
                label = Path(case["label"]) if "label" in case else None
                images = tuple(map(Path, as_list(case["image"])))
                told = {"subject": case.get("subject"), "annotated": tuple(case.get("annotated", ()))}
                found.cases.append(FoundCase(part if label else "test", images, label, **told))
    counts = {len(case.images) for case in found.cases}
    if len(counts) > 1:
        rule, found_counts = "all cases must have the same channels", f"its cases have {sorted(counts)} images"
        found.refuse(path, rule, found_counts, "correct the list")
    found.channels = [str(i) for i in range(max(counts))] if max(counts, default=1) > 1 else [""]
    return found


def keep_annotated(cases: Sequence[FoundCase], root: Path, known: Mapping[str, Any]) -> list[FoundCase]:
    """With `annotated` as the dataset.json that is `known` says it of the same images: no file tells it, somebody wrote it.

    root: the folder that its paths start from. Raises CaseError where it says no list of names.
    """
    said: dict[Path, tuple[str, ...]] = {}
    for part in PARTS[:2]:
        entries = known.get(part)
        for entry in entries if isinstance(entries, list) else ():
            if not (isinstance(entry, dict) and "annotated" in entry and entry.get("image")):
                continue
            if is_path(image := as_list(entry["image"])[0]):
                names = annotated_names(entry["annotated"], {}, f"{root / 'dataset.json'}, the entry of {image}")
                said[Path(os.path.abspath(root / image))] = tuple(names or ())
    return [
        case if case.annotated else replace(case, annotated=said.get(Path(os.path.abspath(case.images[0])), ()))
        for case in cases
    ]


def _lists(content: Any) -> dict[str, list[Any]] | None:
    if not isinstance(content, Mapping):
        return None
    training = content.get("training")
    if isinstance(named := content.get("dataset"), Mapping) and not training:  # nnU-Net's second version
        entries = [entry for entry in named.values() if isinstance(entry, Mapping) and entry.get("images")]
        training = [{"image": entry["images"], "label": entry.get("label")} for entry in entries]
    if not (
        isinstance(training, list) and training and all(isinstance(entry, dict) and entry.get("image") for entry in training)
    ):
        return None
    others = {part: listed for part in PARTS[1:] if isinstance(listed := content.get(part), list)}
    return {"validation": [], "test": [], "training": training, **others}
