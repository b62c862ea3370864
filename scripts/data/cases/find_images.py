"""A file, a folder or a dataset.json -> the images to segment, and a name for each mask."""

import logging
import os
from collections import defaultdict
from pathlib import Path

from ..formats.dicom_series import divided_series, find_series
from ..formats.open_image import SUFFIXES
from ..masks.mask_records import has_own_record
from .case_error import CaseError, printable
from .datalist import Case, as_list, is_path, list_cases, read_datalist, read_json

logger = logging.getLogger(__name__)

MASK = ".nii.gz"
IN_TWO_FILES = (".nhdr", ".mhd")  # images that are refused, not other files
LONGEST_NAME = 255  # bytes, of a file's name on nearly every file system


def find_images(source: str | Path, output_dir: str | Path) -> list[Case]:
    """The images at `source`, each with the `name` of its mask: its path below `source` and `_seg`.

    A folder is searched through, in order of name; folders that hold DICOM files are one image each. Left out, with a word in
    the log: other files, the labels of a dataset.json in it, masks of this bundle, and `output_dir`. Of a dataset.json the list
    `test` is taken, else `validation`. An image that cannot get a mask of its own carries an `error`.

    Raises FileNotFoundError or CaseError when there is nothing to segment.
    """
    source = Path(os.path.abspath(source))  # without ".."
    if source.is_dir():
        cases = _in_folder(source, Path(output_dir).absolute())
    elif source.suffix == ".json":
        content = read_json(source)
        part = "test" if content.get("test") else "validation"
        logger.info("%s: segmenting its list '%s'", source, part)
        cases = [
            {key: value for key, value in case.items() if key != "label"} | {"name": _mask_name(Path(_first(case)).name)}
            for case in list_cases(source, content, part, labelled=False)
        ]
    elif source.exists():
        cases = [{"image": str(source), "name": _mask_name(source.name)}]
    else:
        raise FileNotFoundError(f"no file or folder {source}; give --input an image, a folder of images or a dataset.json")
    return _with_names_of_their_own(cases)


def read_references(dataset_dir: str | Path, part: str, val_fraction: float = 0.2, seed: int = 0) -> list[Case]:
    """One part of a dataset.json for evaluation: the label is called `reference`, since it stays in the file's own space."""
    if part == "test":
        path = Path(dataset_dir).absolute() / "dataset.json"
        cases = list_cases(path, read_json(path), part, labelled=True)
    elif part in ("training", "validation"):
        cases = read_datalist(dataset_dir, val_fraction, seed)[part]
    else:
        raise ValueError(f"part must be 'training', 'validation' or 'test', got {part!r}")
    named = [
        {("reference" if key == "label" else key): value for key, value in case.items()}
        | {"name": _mask_name(Path(_first(case)).name)}
        for case in cases
    ]
    return _with_names_of_their_own(named)


def _in_folder(folder: Path, output_dir: Path) -> list[Case]:
    series = [Path(path) for path in find_series(folder)]
    if folder in output_dir.parents:
        series = [path for path in series if not path.is_relative_to(output_dir)]
    labels = _labels_of(folder)
    paths, others, closed = list(series), [], []
    for place, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        others += [path for path in (Path(place, name) for name in folders) if path.is_symlink()]  # not entered
        folders[:] = [name for name in folders if name[0] != "." and not _is_output(Path(place, name), output_dir, folder)]
        for path in (Path(place, name) for name in names if name[0] != "."):
            if not path.name.lower().endswith((*SUFFIXES, *IN_TWO_FILES)):
                if path.parent not in series and path.name not in ("dataset.json", "report.json"):
                    others.append(path)
            elif os.path.realpath(path) in labels or _is_own_mask(path):
                others.append(path)
            else:
                paths.append(path)
    if others:
        names = sorted(printable(str(path.relative_to(folder))) for path in others)
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        logger.warning(
            "%s: %d files are no images (%s, DICOM), are labels or linked folders, and are left out: %s",
            folder,
            len(others),
            ", ".join(SUFFIXES),
            shown,
        )
    paths += closed
    if not paths:
        found = "there is none" + (f", but {len(others)} other files" if others else "")
        raise CaseError(str(folder), f"must hold images ({', '.join(SUFFIXES)}, DICOM)", found, "check --input")
    divided = divided_series(str(path) for path in series)
    cases = [_case(path, folder) for path in sorted(paths)]
    for case in cases:
        if case["image"] in divided:
            case.setdefault("error", divided[case["image"]])
        if Path(case["image"]) in closed:
            found = "its content cannot be listed"
            case["error"] = CaseError(case["image"], "a folder must be readable", found, "check its permissions")
    return cases


def _case(path: Path, folder: Path) -> Case:
    case: Case = {"image": str(path), "name": _mask_name(str(path.relative_to(folder)) if path != folder else path.name)}
    target = Path(os.path.realpath(path))  # unlike Path.resolve it takes links that lead to themselves
    if not target.is_relative_to(os.path.realpath(folder)):
        found = f"it leads to {target}"
        case["error"] = CaseError(str(path), f"images must lie inside {folder}, not behind links", found, "copy it there")
    return case


def _labels_of(folder: Path) -> set[str]:
    """What a dataset.json in the folder lists as labels."""
    if not (folder / "dataset.json").is_file():
        return set()
    try:
        content = read_json(folder / "dataset.json")
    except CaseError as error:
        logger.warning("%s, so which files here are labels is not known", error)
        return set()
    lists = [part for part in content.values() if isinstance(part, list)]
    entries = [entry for part in lists for entry in part if isinstance(entry, dict)]
    return {os.path.realpath(folder / entry["label"]) for entry in entries if is_path(entry.get("label"))}


def _is_output(path: Path, output_dir: Path, folder: Path) -> bool:
    return path == output_dir and output_dir != folder


def _is_own_mask(path: Path) -> bool:
    return path.name.endswith(f"_seg{MASK}") and has_own_record(path)


def _first(case: Case) -> str:
    return as_list(case["image"])[0]


def _mask_name(path: str) -> str:
    """sub/case.nii.gz -> sub/case_seg"""
    stem = next((path[: -len(suffix)] for suffix in SUFFIXES if path.lower().endswith(suffix)), path.removesuffix(".dcm"))
    return f"{stem}_seg"


def _with_names_of_their_own(cases: list[Case]) -> list[Case]:
    groups = defaultdict(list)
    for case in cases:
        if "error" not in case:
            groups[case["name"]].append(case)
    for group in groups.values():
        for case in group:
            others = ", ".join(_first(other) for other in group if other is not case)
            name = Path(case["name"]).name + MASK
            if others:
                found = f"the mask of {others} would have the same name"
                case.setdefault("error", CaseError(_first(case), "masks must not overwrite each other", found, "rename it"))
            elif len(os.fsencode(name)) > LONGEST_NAME:
                found = f"that of its mask would have {len(os.fsencode(name))}"
                rule = f"a file's name may have {LONGEST_NAME} bytes"
                case.setdefault("error", CaseError(_first(case), rule, found, "shorten the name"))
    return cases
