"""A folder of images and labels -> its dataset.json, written, and what to know about it."""

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...basics.case import as_list
from ...files.atomic_write import write_json
from ..cases.datalist import read_json
from ..cases.label_values import is_ignored
from ..cases.split_subjects import doubts_about
from .describe_dataset import describe_dataset
from .find_cases import MERGED, FoundCases, find_cases
from .label_names import modalities_of, name_values, names_of, values_in
from .merge_structures import merge_structures, segments_need_merging
from .read_list import MADE_BY, find_list, keep_annotated, read_list

KEPT = "dataset_original.json"
RARE = 0.1  # of the label files: a value in fewer may be a mistake


def write_dataset(
    folder: Path,
    labels: Path | None = None,
    output: Path | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    subject: str | None = None,
    label_names: Mapping[int, str] = {},
    channels: Sequence[str] = (),
    overwrite: bool = False,
    patterns: tuple[Sequence[str], str] | None = None,
    place: Path | None = None,
) -> tuple[Path, str]:
    """The path of dataset.json, and a report in lines.

    folder is searched through; labels: where the labels are, if elsewhere; output: must hold all files. channels: which images
    of a case to use. patterns: of the paths of images and labels. place: the folder of dataset.json, if the data may not be
    written to. A dataset.json of other origin is kept as dataset_original.json. Raises ValueError or OSError that names all
    problems, before anything is written.
    """
    root = _root_of(folder, labels, output)
    place = place or root
    known = before = _existing(place, overwrite)
    if place != root and (root / "dataset.json").is_file():
        known = read_json(root / "dataset.json")
    names = names_of(known, label_names)
    found, doubts = None, []
    if not (labels or channels or patterns) and (listed := find_list(root, known)):
        found = read_list(*listed)
        doubts = [] if found else [f"{listed[0]} lists images that do not exist; what lies in the folder is taken"]
    found = found or find_cases(folder, labels, root, channels, patterns)
    found.doubts += doubts
    found.cases = keep_annotated(found.cases, root, known)
    by_name = segments_need_merging([case.label for case in found.cases if case.label])
    had_merged = (place / MERGED).exists()
    if had_merged and before.get("description") != MADE_BY:
        raise ValueError(f"{place / MERGED} is there already and is not of this tool's dataset.json; move it away")
    values, damaged = values_in([case.label for case in found.cases if case.label and by_name is not None])
    found.problems += damaged
    merged_names: dict[int, str] = by_name or {}
    if not found.problems and (by_name is None or any(case.structures for case in found.cases)):
        merged_names, merged = merge_structures(found, place, by_name is None)
        values |= merged
    if problems := found.problems:
        if not had_merged:
            shutil.rmtree(place / MERGED, ignore_errors=True)
        raise ValueError("\n".join([*map(str, problems), f"{len(problems)} problem{'s' * (len(problems) > 1)}"]))
    named = name_values(set().union(*values.values()), {**merged_names, **names})
    modalities = _modality_names(found, modalities_of(known))
    content = describe_dataset(root, place, found.cases, named, modalities, val_fraction, seed, subject)
    _write(place / "dataset.json", content)
    return place / "dataset.json", _report(content, found, values, subject is not None)


def _root_of(folder: Path, labels: Path | None, output: Path | None) -> Path:
    """Where dataset.json goes: all its files lie below, so that the folder can be moved."""
    common = Path(os.path.commonpath([folder, labels or folder]))
    root = output or common
    if root == Path(root.anchor) or not common.is_relative_to(root):
        raise ValueError(
            f"dataset.json must lie in a folder that holds all images and labels, not in {root}; put them into one folder"
        )
    return root


def _existing(root: Path, overwrite: bool) -> dict[str, Any]:
    """The dataset.json that is there already: its names are taken over."""
    path = root / "dataset.json"
    if not path.exists():
        return {}
    content = read_json(path)
    foreign = content.get("description") != MADE_BY
    if not overwrite:
        kept = f" (it stays as {KEPT}; its names are taken over)" if foreign else ""
        raise ValueError(f"{path} is there already; give --overwrite to replace it{kept}")
    if foreign and (root / KEPT).exists():
        raise ValueError(f"{path} was not written by this tool and {KEPT} is there too; move one of them away")
    return content


def _modality_names(found: FoundCases, known: list[str]) -> list[str]:
    if known and len(found.channels) in (1, len(known)):  # one file may hold several channels
        return known
    return [name if name.strip("0123456789") else "unknown" for name in found.channels]


def _write(path: Path, content: dict[str, Any]) -> None:
    if path.exists() and read_json(path).get("description") != MADE_BY:
        path.rename(path.with_name(KEPT))
    write_json(path, content)


def _report(content: dict[str, Any], found: FoundCases, values: dict[Path, set[int]], subject_is_told: bool) -> str:
    """What was understood: counts, labels, channels, subjects and examples; then what is in doubt, and what was left out."""
    labelled = content["training"] + content["validation"]
    subjects = Counter(case["subject"] for case in labelled)
    lines = [
        f"{part:10}  {len(content[part]):5} cases of {len({case['subject'] for case in content[part]}):5} subjects"
        for part in ("training", "validation")
    ]
    unlabelled = [path for case in found.cases if case.part == "test" for path in case.images]
    lines.append(f"{'test':10}  {len(content['test']):5} cases{_listed(', images without a label', unlabelled)}")
    lines.append(f"labels      {', '.join(f'{value} {name}' for value, name in content['labels'].items())}")
    lines.append(f"channels    {', '.join(found.channels if found.channels != [''] else ['one image a case'])}")
    lines.append(f"modalities  {', '.join(content['modality'].values())}")
    ((subject, most),) = subjects.most_common(1)
    example = f"{subject}, for example, has {most} cases" if most > 1 else "each case is taken for a subject of its own"
    lines.append(
        f"subjects    {', '.join(list(subjects)[:5])}{', ...' if len(subjects) > 5 else ''}: {example}; if that is wrong,"
    )
    lines.append("            say by --subject what names a subject")
    if partly := sum("annotated" in case for case in labelled):
        lines.append(f"annotated   {partly} of {len(labelled)} cases are labelled for some structures alone")
    for case in labelled[:3]:
        lines.append(f"example     {', '.join(as_list(case['image']))} with {case['label']}, subject {case['subject']}")
    for value in content["labels"]:
        holders = [path for path, inside in values.items() if int(value) in inside]
        if 0 < len(holders) <= RARE * len(values):
            where = f"occurs in only {len(holders)} of {len(values)} label files"
            lines.append(f"IN DOUBT    the value {value} {where}{_listed('', holders)}; is it a mistake?")
    doubtful = [] if subject_is_told else doubts_about([{"image": case["image"]} for case in labelled])
    for doubt in [*found.doubts, *doubtful]:
        lines.append(f"IN DOUBT    {doubt}")
    ignored = {int(value) for value, name in content["labels"].items() if is_ignored(name)}
    empty = [path for path, inside in values.items() if inside <= {0, *ignored}]
    for what, files in (
        ("belong to no case and are omitted", found.left_out),
        ("show no structure; training refuses them", empty),
    ):
        if files:
            lines.append(f"{len(files)} files {_listed(what, files)}")
    return "\n".join(lines)


def _listed(what: str, files: list[Path]) -> str:
    return f"{what}: {', '.join(map(str, files[:5]))}{', ...' if len(files) > 5 else ''}" if files else ""
