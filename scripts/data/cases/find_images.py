"""A file, a folder or a dataset.json -> the images to segment, and a name for each mask."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ...basics.case import Case, Listed, NamedCase, Refused, file_of
from ...basics.classes import MergeLabels
from ..formats.open_image import SUFFIXES
from .annotated import merge_annotated
from .case_error import CaseError
from .datalist import is_path, list_cases, read_datalist, read_json
from .label_values import require_same_names
from .search_folder import search_folder

logger = logging.getLogger(__name__)

MASK = ".nii.gz"
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes, on nearly every file system
DEEPEST = 200  # folders


def find_images(source: str | Path, output_dir: str | Path) -> Listed[NamedCase]:
    """Finds the images at a path, in order of name.

    A folder is searched through; folders that hold DICOM images are one image each. Left out, with a word in the log: other
    files, labels (see `label_maps`, or listed in a dataset.json there), masks of this bundle, and `output_dir`. An image that
    cannot get a mask of its own is refused.

    Args:
        source: an image, a folder, or a dataset.json, of which the list `test` is taken, else `validation`.
        output_dir: where the masks go.

    Returns:
        The images, each with the `name` of its mask: its path below a folder, of a list its file's name, and `_seg`. Files of
        one name in a list have masks named by their paths.

    Raises:
        FileNotFoundError: if `source` does not exist.
        CaseError: when there is nothing to segment.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import find_images
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 2}, shape=(16, 14, 8))
        ...     listed = find_images(Path(folder) / "images", output_dir=Path(folder) / "masks")
        >>> [case["name"] for case in listed.cases]
        ['phantom_000_seg', 'phantom_001_seg']
    """
    source = Path(os.path.abspath(source))  # without ".."
    if source.is_dir():
        found = _in_folder(source, Path(output_dir).absolute())
    elif source.suffix == ".json":
        content = read_json(source)
        part = "test" if content.get("test") else "validation"
        logger.info("%s: segmenting its list '%s'", source, part)
        listed = list_cases(source, content, part, labelled=False)
        found = _listed([{"image": case["image"]} for case in listed.cases], listed, source.parent)
    elif source.exists():
        found = Listed([_named({"image": str(source)})], [])
    else:
        raise FileNotFoundError(f"no file or folder {source}; give --input an image, a folder of images or a dataset.json")
    return _with_names_of_their_own(found, Path(output_dir).absolute())


def read_references(
    dataset_dir: str | Path,
    part: str,
    val_fraction: float = 0.2,
    seed: int = 0,
    labels: Mapping[str, str] | None = None,
    ignore_label: Sequence[int] = (),
    merge_labels: MergeLabels = MappingProxyType({}),
    folds: int | None = None,
    fold: int | None = None,
) -> Listed[NamedCase]:
    """Reads one part of a dataset.json for evaluation.

    Args:
        dataset_dir: the folder of the dataset.json.
        part: `training`, `validation` or `test`.
        val_fraction: see `read_datalist`.
        seed: see `read_datalist`.
        labels: see `read_datalist`.
        ignore_label: see `read_datalist`.
        merge_labels: see `read_datalist`.
        folds: see `read_datalist`.
        fold: see `read_datalist`.

    Returns:
        The cases, in which the label is called `reference`, since it stays in the file's own space. Those of a fold have the
        names that they would have among the cases of all folds.

    Raises:
        FileNotFoundError: if there is no dataset.json.
        CaseError: for a file that is no such list.
        ValueError: for another part, and for `validation` with a val_fraction of 0.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import read_references
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     (case,) = read_references(folder, "test").cases
        >>> sorted(case), case["name"]
        (['image', 'name', 'reference'], 'phantom_000_seg')
    """
    folder, among = Path(dataset_dir).absolute(), None
    if part == "test":
        path = folder / "dataset.json"
        content = read_json(path)
        require_same_names(path, content, labels or {}, ignore_label)
        listed = list_cases(path, content, part, labelled=True, labels=labels or {})
        merge_annotated(listed.cases, labels or {}, merge_labels)
    elif part in ("training", "validation"):
        parts = read_datalist(dataset_dir, val_fraction, seed, labels, ignore_label, merge_labels, folds, fold)
        listed = parts[part]
        if folds is not None:
            among = [case for other in parts.values() for case in other.cases]
        elif val_fraction == 0 and part == "validation":
            raise ValueError("with val_fraction 0 there are no cases for validation; evaluate another part, such as test")
    else:
        raise ValueError(f"part must be 'training', 'validation' or 'test', got {part!r}")
    return _with_names_of_their_own(_listed([_with_reference(case) for case in listed.cases], listed, folder, among))


def _with_reference(case: Case) -> Case:
    reference: Case = {"image": case["image"], "reference": case.pop("label")}
    return {**reference, "annotated": case["annotated"]} if "annotated" in case else reference


def _in_folder(folder: Path, output_dir: Path) -> Listed[NamedCase]:
    search = search_folder(folder, output_dir, _labels_of(folder))
    if not search.images and not search.refused:
        others = sum(map(len, search.omitted.values()))
        found = "there is none" + (f", but {others} other files" if others else "")
        raise CaseError(str(folder), f"must hold images ({', '.join(SUFFIXES)}, DICOM)", found, "check --input")

    def named(path: Path) -> NamedCase:
        return _named({"image": str(path)}, str(path.relative_to(folder)) if path != folder else path.name)

    refused = [Refused(named(path), error) for path, error in sorted(search.refused.items())]
    return Listed([named(path) for path in search.images], refused)


def _labels_of(folder: Path) -> set[str]:
    """What a dataset.json in the folder lists as labels."""
    if not (folder / "dataset.json").is_file():
        return set()
    try:
        content = read_json(folder / "dataset.json")
    except CaseError as error:
        logger.warning("%s, so which files it lists as labels is not known", error)
        return set()
    lists = [part for part in content.values() if isinstance(part, list)]
    entries = [entry for part in lists for entry in part if isinstance(entry, dict)]
    return {os.path.realpath(folder / entry["label"]) for entry in entries if is_path(entry.get("label"))}


def _named(case: Case, path: str | None = None) -> NamedCase:
    """path: what its mask is named after, below the output folder; the image's name if not given."""
    return {**case, "name": _mask_name(path or Path(file_of(case)).name)}


def _listed(cases: list[Case], listed: Listed[Case], folder: Path, among: Sequence[Case] | None = None) -> Listed[NamedCase]:
    """Named after their files; files of one name after their paths below `folder`. Those refused may have older masks.

    among: all cases that must not have one name, if `cases` are a part of them.
    """
    count = Counter(_named(case)["name"] for case in (cases if among is None else among))

    def named(case: Case) -> NamedCase:
        alone = _named(case)
        return alone if count[alone["name"]] < 2 else _named(case, os.path.relpath(file_of(case), folder))

    return Listed([named(case) for case in cases], [Refused(_named(case), error) for case, error in listed.refused])


def _mask_name(path: str) -> str:
    """sub/case.nii.gz -> sub/case_seg"""
    stem = next((path[: -len(suffix)] for suffix in SUFFIXES if path.lower().endswith(suffix)), path.removesuffix(".dcm"))
    return f"{stem}_seg"


def _with_names_of_their_own(listed: Listed[NamedCase], output_dir: Path = Path()) -> Listed[NamedCase]:
    """Refuses cases whose masks would have one name, or one that no file can have."""
    groups: dict[str, list[NamedCase]] = defaultdict(list)
    for case in listed.cases:
        groups[case["name"]].append(case)
    found = Listed[NamedCase]([], list(listed.refused))
    for case in listed.cases:
        others = ", ".join(file_of(other) for other in groups[case["name"]] if other is not case)
        mask = output_dir / f"{case['name']}{MASK}"
        length, whole, depth = len(os.fsencode(mask.name)), len(os.fsencode(mask)), len(mask.parents)
        if others:
            rule, reason = "masks must not overwrite each other", f"the mask of {others} would have the same name"
            error = CaseError(file_of(case), rule, reason, "rename it")
        elif length > LONGEST_NAME:
            rule, reason = f"a file's name may have {LONGEST_NAME} bytes", f"that of its mask would have {length}"
            error = CaseError(file_of(case), rule, reason, "shorten the name")
        elif depth > DEEPEST or whole > LONGEST_PATH:
            rule = f"a mask may lie {DEEPEST} folders deep, its path may have {LONGEST_PATH} bytes"
            error = CaseError(file_of(case), rule, f"it would be {depth} and {whole}", "move the image")
        else:
            found.cases.append(case)
            continue
        found.refused.append(Refused(case, error))
    return found
