"""A dataset.json -> its cases, and beside them the entries that break a rule, so that one costs no other."""

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...basics.case import Case, Listed, Refused, as_list
from ...basics.classes import MergeLabels
from .annotated import annotated_names, merge_annotated, number_label_sets
from .case_error import CaseError
from .label_values import require_same_names
from .split_subjects import fold_subjects, split_subjects, subjects_of

logger = logging.getLogger(__name__)

PARTS = ("training", "validation", "test")


def read_datalist(
    dataset_dir: str | Path,
    val_fraction: float = 0.2,
    seed: int = 0,
    labels: Mapping[str, str] | None = None,
    ignore_label: Sequence[int] = (),
    merge_labels: MergeLabels = MappingProxyType({}),
    folds: int | None = None,
    fold: int | None = None,
) -> dict[str, Listed[Case]]:
    """Reads `dataset_dir`/dataset.json (Medical Segmentation Decathlon form).

    A case whose image, label or subject is listed for training and for validation serves validation alone, else every score
    would be too good.

    Args:
        dataset_dir: the folder; all files must lie inside it.
        val_fraction: of the subjects, from 0 to below 1; where the file has no validation list, they serve as one, all cases of
            a subject on one side. 0: all cases serve training, those of a validation list too, and none validation.
        seed: chooses those subjects.
        labels: the preset's, value -> name; those of the file may not contradict them.
        ignore_label: the preset's; a value that the file calls `ignore` must be among them.
        merge_labels: the preset's; `annotated` of a case then names the merged classes.
        folds: into so many the training cases are dealt out, by subject; a validation list of the file is then in none of them,
            and serves neither training nor validation. `val_fraction` has no effect.
        fold: from 0; its cases serve validation, those of the others training.

    Returns:
        `training` and `validation`, paths made absolute.

    Raises:
        FileNotFoundError: if there is no dataset.json.
        CaseError: for a file that is no such list, or has fewer subjects than folds.
        ValueError: for a fold that is none of the `folds`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import read_datalist
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 5}, shape=(16, 14, 8))
        ...     listed = read_datalist(folder, val_fraction=0.2)
        >>> {part: len(found.cases) for part, found in listed.items()}
        {'training': 4, 'validation': 1}
    """
    path = Path(dataset_dir).absolute() / "dataset.json"
    content = read_json(path)
    require_same_names(path, content, labels or {}, ignore_label)
    if folds is None:
        parts = _parts(path, content, val_fraction, seed, labels or {})
    else:
        parts = _parts_of_fold(path, content, folds, fold, seed, labels or {})
    if labels:
        for listed in parts.values():
            merge_annotated(listed.cases, labels, merge_labels)
        number_label_sets([*parts.values()])
    return parts


def _parts(
    path: Path, content: dict[str, Any], val_fraction: float, seed: int, labels: Mapping[str, str]
) -> dict[str, Listed[Case]]:
    training = list_cases(path, content, "training", labelled=True, labels=labels)
    if content.get("validation"):
        validation = list_cases(path, content, "validation", labelled=True, labels=labels)
        training = _without(path, training, validation)
        if val_fraction == 0:
            both = Listed(training.cases + validation.cases, training.refused + validation.refused)
            return {"training": both, "validation": Listed([], [])}
        return {"training": training, "validation": validation}
    if val_fraction == 0:
        return {"training": training, "validation": Listed([], [])}
    cases = _with_subjects(training.cases)
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


def _parts_of_fold(
    path: Path, content: dict[str, Any], folds: int, fold: int | None, seed: int, labels: Mapping[str, str]
) -> dict[str, Listed[Case]]:
    if fold is None or not 0 <= fold < folds:
        raise ValueError(f"fold must be from 0 to {folds - 1}, one of the {folds} folds, got {fold}")
    training, numbers = deal_out(path, content, folds, seed, labels)
    pairs = [*zip(training.cases, numbers, strict=True)]
    return {
        "training": Listed([case for case, number in pairs if number != fold], training.refused),
        "validation": Listed([case for case, number in pairs if number == fold], []),
    }


def deal_out(
    path: Path, content: dict[str, Any], folds: int, seed: int, labels: Mapping[str, str]
) -> tuple[Listed[Case], list[int]]:
    """The training cases of the dataset.json at `path`, without what its validation list has, and the fold of each."""
    training = list_cases(path, content, "training", labelled=True, labels=labels)
    if content.get("validation"):
        training = _without(path, training, list_cases(path, content, "validation", labelled=True, labels=labels))
    cases = _with_subjects(training.cases)
    if (subjects := len(set(subjects_of(cases)))) < folds:
        found = f"{len(cases)} cases of {subjects} subjects, and folds is {folds}"
        raise CaseError(str(path), "there must be a subject for each fold", found, "choose fewer folds, or add cases")
    return Listed(cases, training.refused), fold_subjects(cases, folds, seed)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises FileNotFoundError or CaseError."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; a dataset is a folder with a dataset.json, which `sam3d dataset` writes for you")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_Object)
    except OSError as error:
        raise CaseError(str(path), "the file must be readable", str(error.strerror), "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise CaseError(str(path), "must be JSON", str(error), "correct the file") from error
    if not isinstance(content, dict):
        raise CaseError(str(path), "must be a JSON object", f"it is a {type(content).__name__}", "correct the file")
    for thing in (content, *content.values()):
        _require_single_keys(thing, str(path))
    return content


class _Object(dict[str, Any]):
    """A JSON object, of which Python's reader would keep the last of several values under one key and say nothing."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def _require_single_keys(thing: Any, where: str) -> None:
    if isinstance(thing, _Object) and thing.repeated:
        found = f"{_short(thing.repeated[0])} is there more than once"
        raise CaseError(where, "a key may be given once", found, "correct the file")


def list_cases(
    path: Path, content: dict[str, Any], part: str, labelled: bool, labels: Mapping[str, str] = MappingProxyType({})
) -> Listed[Case]:
    """The entries of one list of the dataset.json at `path`.

    Files must exist inside the folder of `path`, or in that which it names under `data`. Each image may be listed once; a label
    that is listed for several of them fits one at most, so all of those are refused. A refused entry is called by its number.
    labelled: a label is required. labels: the preset's, of which `annotated` must be some.
    """
    entries = content.get(part)
    if not isinstance(entries, list) or not entries:
        known = ", ".join(key for key in PARTS if content.get(key)) or "no lists of cases"
        raise CaseError(str(path), f"must list cases under '{part}'", f"it has {known}", "correct it, see docs/your_data.md")
    listed = Listed[Case]([], [])
    seen: set[str] = set()
    data = _data_folder(path, content)
    found: list[tuple[str, Case]] = []

    def refuse(where: str, error: CaseError) -> None:
        listed.refused.append(Refused({"image": f"{path}, {where}"}, error))

    for number, entry in enumerate(entries, 1):
        where = f"entry {number} of '{part}'"
        try:
            case = _resolved(path, data, entry, where, labelled, labels)
            for file in as_list(case["image"]):
                if os.path.realpath(file) in seen:
                    raise CaseError(file, "an image may be listed once", f"{where} lists it again", f"correct {path}")
        except CaseError as error:
            refuse(where, error)
        else:
            seen.update(map(os.path.realpath, as_list(case["image"])))
            found.append((where, case))
    count = Counter(os.path.realpath(case.get("label", "")) for _, case in found)
    for where, case in found:
        label = case.get("label")
        if label and (times := count[os.path.realpath(label)]) > 1:
            rule, remedy = "a label may be listed for one image", f"correct {path}"
            refuse(where, CaseError(label, rule, f"{where} is one of {times} that list it", remedy))
        else:
            listed.cases.append(case)
    return listed


def _data_folder(path: Path, content: Mapping[str, Any]) -> Path:
    """Where the files lie: beside the list, unless it says otherwise, as `sam3d dataset --dataset-json` lets it."""
    said = content.get("data")
    if not (isinstance(said, str) and is_path(said) and os.path.isabs(said)):
        return path.parent
    logger.warning("%s: its files lie in %s, as it says itself", path, said)
    return Path(said)


def _resolved(path: Path, data: Path, entry: Any, where: str, labelled: bool, labels: Mapping[str, str]) -> Case:
    """The entry with absolute paths."""
    if isinstance(entry, str):  # as the Decathlon lists its test images
        entry = {"image": entry}
    if not isinstance(entry, dict) or not entry.get("image"):
        raise CaseError(f"{path}, {where}", "a case must name its image", f"found {_short(entry)}", "correct it")
    _require_single_keys(entry, f"{path}, {where}")
    for key in entry.keys() - {"annotated"}:
        if get_close_matches(str(key).casefold(), ["annotated"], cutoff=0.8):  # else the label would tell of all classes
            found, remedy = f"found {_short(key)}", "write annotated; without it the label tells of all classes"
            raise CaseError(f"{path}, {where}", "annotated must be spelt so", found, remedy)
    image = entry["image"]
    files = [_resolved_file(path, data, file, where) for file in as_list(image)]
    case: Case = {"image": files if isinstance(image, list) else files[0]}
    if (subject := entry.get("subject")) not in (None, ""):
        if not isinstance(subject, str | int):
            found = f"found {_short(subject)}"
            raise CaseError(f"{path}, {where}", "a subject must be given as text or number", found, "correct it")
        case["subject"] = str(subject).strip()
    if "annotated" in entry and (names := annotated_names(entry["annotated"], labels, f"{path}, {where}")):
        case["annotated"] = names
    if labelled and not entry.get("label"):
        raise CaseError(files[0], "a case must name its label", f"{where} names none", f"correct {path}")
    if entry.get("label"):
        case["label"] = _resolved_file(path, data, entry["label"], where)
    own = [*files, case["label"]] if "label" in case else files
    for file, count in Counter(map(os.path.realpath, own)).items():
        if count > 1:
            raise CaseError(file, "the files of a case must differ", f"{where} names it {count} times", f"correct {path}")
    return case


def is_path(thing: Any) -> bool:
    """Whether the operating system could have a file of this name."""
    try:
        return isinstance(thing, str) and b"\0" not in os.fsencode(thing)
    except UnicodeEncodeError:  # JSON can write what is no text
        return False


def _resolved_file(path: Path, data: Path, file: Any, where: str) -> str:
    if not is_path(file):
        raise CaseError(f"{path}, {where}", "files must be given as paths", f"found {_short(file)}", "correct it")
    place = Path(os.path.abspath(data / file))  # one spelling of each path
    target = Path(os.path.realpath(place))  # unlike Path.resolve it takes links that lead to themselves
    if not any(target.is_relative_to(os.path.realpath(folder)) for folder in (data, path.parent)):
        found = f"{where} leads to {target}"
        raise CaseError(file, f"files must lie inside {data}, not behind links", found, "move or copy it there")
    if not os.path.exists(place):  # unlike Path.exists it takes names of any length
        raise CaseError(file, f"the files of {path} must exist", f"{where} names one that does not", "correct the path")
    return str(place)


def _without(path: Path, training: Listed[Case], validation: Listed[Case]) -> Listed[Case]:
    """The training list without what is in the other one."""
    held_out = {thing: what for case in validation.cases for thing, what in _owned(case).items()}
    cases, refused = [], list(training.refused)
    for case in training.cases:
        if shared := sorted(_owned(case).keys() & held_out.keys()):
            what, thing = held_out[shared[0]], shared[0][1]
            rule, remedy = f"training and validation must not share {what}", f"list it once in {path}"
            refused.append(Refused(case, CaseError(thing, rule, "it is in both", remedy)))
        else:
            cases.append(case)
    return Listed(cases, refused)


def _owned(case: Case) -> dict[tuple[bool, str], str]:
    """What a case may not share, and the word for it."""
    files = {(False, os.path.realpath(file)): "images" for file in as_list(case["image"])}
    files |= {(False, os.path.realpath(case["label"])): "labels"} if "label" in case else {}
    return files | ({(True, case["subject"]): "subjects"} if "subject" in case else {})


def _with_subjects(cases: list[Case]) -> list[Case]:
    """Where only some say their subject, the others of the same subject, by their paths, are of that one too."""
    without: list[Case] = [{"image": case["image"]} for case in cases]
    said: dict[str, set[str]] = {}
    read = subjects_of(without)
    for name, case in zip(read, cases, strict=True):
        if "subject" in case:
            said.setdefault(name, set()).add(case["subject"])
    return [
        {**case, "subject": next(iter(said[name]))} if "subject" not in case and len(said.get(name, ())) == 1 else case
        for name, case in zip(read, cases, strict=True)
    ]


def _short(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 80 else text[:77] + "..."
