"""A dataset.json -> its cases, and beside them the entries that break a rule, so that one costs no other."""

import json
import os
from pathlib import Path
from typing import Any

from ...basics.case import Case, Listed, Refused, as_list, file_of
from .case_error import CaseError
from .split_subjects import split_subjects

PARTS = ("training", "validation", "test")


def read_datalist(dataset_dir: str | Path, val_fraction: float = 0.2, seed: int = 0) -> dict[str, Listed[Case]]:
    """`training` and `validation` of `dataset_dir`/dataset.json (Medical Segmentation Decathlon form), paths made absolute.

    Where the file has no validation list, a fraction `val_fraction` of the training list, chosen by `seed`, serves as one; all
    cases of a subject are on one side.
    A case that is listed in both serves validation alone, else every score would be too good.
    Raises FileNotFoundError or CaseError for a file that is no such list.
    """
    path = Path(dataset_dir).absolute() / "dataset.json"
    content = read_json(path)
    training = list_cases(path, content, "training", labelled=True)
    if content.get("validation"):
        validation = list_cases(path, content, "validation", labelled=True)
        return {"training": _without(path, training, validation), "validation": validation}
    cases = training.cases
    held_out = split_subjects(cases, val_fraction, seed)
    if not 0 < len(held_out) < len(cases):
        raise CaseError(
            str(path),
            "a validation list, or enough subjects to split one off, is needed",
            f"{len(cases)} cases and val_fraction {val_fraction} leave {len(cases) - len(held_out)} for training and "
            f"{len(held_out)} for validation",
            "add cases, list 'validation', or change val_fraction",
        )
    return {
        "training": Listed([case for i, case in enumerate(cases) if i not in held_out], training.refused),
        "validation": Listed([case for i, case in enumerate(cases) if i in held_out], []),
    }


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises FileNotFoundError or CaseError."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; a dataset is a folder with a dataset.json, which `sam3d dataset` writes for you")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CaseError(str(path), "the file must be readable", str(error.strerror), "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise CaseError(str(path), "must be JSON", str(error), "correct the file") from error
    if not isinstance(content, dict):
        raise CaseError(str(path), "must be a JSON object", f"it is a {type(content).__name__}", "correct the file")
    return content


def list_cases(path: Path, content: dict[str, Any], part: str, labelled: bool) -> Listed[Case]:
    """The entries of one list of the dataset.json at `path`.

    Files must exist inside the folder of `path`, and each image may be listed once. A refused entry is called by its number.
    labelled: a label is required.
    """
    entries = content.get(part)
    if not isinstance(entries, list) or not entries:
        known = ", ".join(key for key in PARTS if content.get(key)) or "no lists of cases"
        raise CaseError(str(path), f"must list cases under '{part}'", f"it has {known}", "correct it, see docs/your_data.md")
    listed = Listed[Case]([], [])
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        where = f"entry {number} of '{part}'"
        try:
            case = _resolved(path, entry, where, labelled)
            file = file_of(case)
            if file in seen:
                raise CaseError(file, "an image may be listed once", f"{where} lists it again", f"correct {path}")
            seen.add(file)
            listed.cases.append(case)
        except CaseError as error:
            listed.refused.append(Refused({"image": f"{path}, {where}"}, error))
    return listed


def _resolved(path: Path, entry: Any, where: str, labelled: bool) -> Case:
    """The entry with absolute paths."""
    if isinstance(entry, str):  # as the Decathlon lists its test images
        entry = {"image": entry}
    if not isinstance(entry, dict) or not entry.get("image"):
        raise CaseError(f"{path}, {where}", "a case must name its image", f"found {_short(entry)}", "correct it")
    image = entry["image"]
    files = [_resolved_file(path, file, where) for file in as_list(image)]
    case: Case = {"image": files if isinstance(image, list) else files[0]}
    if entry.get("subject"):
        case["subject"] = str(entry["subject"])
    if labelled and not entry.get("label"):
        raise CaseError(files[0], "a case must name its label", f"{where} names none", f"correct {path}")
    if entry.get("label"):
        case["label"] = _resolved_file(path, entry["label"], where)
    return case


def is_path(thing: Any) -> bool:
    """Whether the operating system could have a file of this name."""
    try:
        return isinstance(thing, str) and b"\0" not in os.fsencode(thing)
    except UnicodeEncodeError:  # JSON can write what is no text
        return False


def _resolved_file(path: Path, file: Any, where: str) -> str:
    if not is_path(file):
        raise CaseError(f"{path}, {where}", "files must be given as paths", f"found {_short(file)}", "correct it")
    place = Path(os.path.abspath(path.parent / file))  # one spelling of each path
    target = Path(os.path.realpath(place))  # unlike Path.resolve it takes links that lead to themselves
    if not target.is_relative_to(os.path.realpath(path.parent)):
        found = f"{where} leads to {target}"
        raise CaseError(file, f"files must lie inside {path.parent}, not behind links", found, "move or copy it there")
    if not os.path.exists(place):  # unlike Path.exists it takes names of any length
        raise CaseError(file, f"the files of {path} must exist", f"{where} names one that does not", "correct the path")
    return str(place)


def _without(path: Path, training: Listed[Case], validation: Listed[Case]) -> Listed[Case]:
    """The training list without the images of the other one."""
    held_out = {file for case in validation.cases for file in as_list(case["image"])}
    cases, refused = [], list(training.refused)
    for case in training.cases:
        if shared := held_out.intersection(as_list(case["image"])):
            found, remedy = "it is in both", f"list it once in {path}"
            rule = "training and validation must not share images"
            refused.append(Refused(case, CaseError(min(shared), rule, found, remedy)))
        else:
            cases.append(case)
    return Listed(cases, refused)


def _short(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 80 else text[:77] + "..."
