"""A file, a folder or a dataset.json -> the images to segment, and a name for each mask."""

import logging
import os
from collections import defaultdict
from pathlib import Path

from ...basics.case import Case, Listed, NamedCase, Refused, file_of
from ..formats.dicom_series import find_series
from ..formats.open_image import SUFFIXES
from ..masks.mask_records import has_own_record
from .case_error import CaseError, printable
from .datalist import is_path, list_cases, read_datalist, read_json

logger = logging.getLogger(__name__)

MASK = ".nii.gz"
IN_TWO_FILES = (".nhdr", ".mhd")  # images that are refused, not other files
LONGEST_NAME = 255  # bytes, of a file's name on nearly every file system


def find_images(source: str | Path, output_dir: str | Path) -> Listed[NamedCase]:
    """Finds the images at a path, in order of name.

    A folder is searched through; folders that hold DICOM files are one image each. Left out, with a word in the log: other
    files, the labels of a dataset.json in it, masks of this bundle, and `output_dir`. An image that cannot get a mask of its
    own is refused.

    Args:
        source: an image, a folder, or a dataset.json, of which the list `test` is taken, else `validation`.
        output_dir: where the masks go.

    Returns:
        The images, each with the `name` of its mask: its path below `source` and `_seg`.

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
        found = Listed([_named({"image": case["image"]}) for case in listed.cases], _refused_named(listed))
    elif source.exists():
        found = Listed([_named({"image": str(source)})], [])
    else:
        raise FileNotFoundError(f"no file or folder {source}; give --input an image, a folder of images or a dataset.json")
    return _with_names_of_their_own(found)


def read_references(dataset_dir: str | Path, part: str, val_fraction: float = 0.2, seed: int = 0) -> Listed[NamedCase]:
    """Reads one part of a dataset.json for evaluation.

    Args:
        dataset_dir: the folder of the dataset.json.
        part: `training`, `validation` or `test`.
        val_fraction: see `read_datalist`.
        seed: see `read_datalist`.

    Returns:
        The cases, in which the label is called `reference`, since it stays in the file's own space.

    Raises:
        FileNotFoundError: if there is no dataset.json.
        CaseError: for a file that is no such list.
        ValueError: for another part.

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
    if part == "test":
        path = Path(dataset_dir).absolute() / "dataset.json"
        listed = list_cases(path, read_json(path), part, labelled=True)
    elif part in ("training", "validation"):
        listed = read_datalist(dataset_dir, val_fraction, seed)[part]
    else:
        raise ValueError(f"part must be 'training', 'validation' or 'test', got {part!r}")
    cases = [_named({"image": case["image"], "reference": case.pop("label")}) for case in listed.cases]
    return _with_names_of_their_own(Listed(cases, _refused_named(listed)))


def _in_folder(folder: Path, output_dir: Path) -> Listed[NamedCase]:
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
            "%s: %d files are no images (%s, DICOM), are labels or linked folders, and are omitted: %s",
            folder,
            len(others),
            ", ".join(SUFFIXES),
            shown,
        )
    if not paths + closed:
        found = "there is none" + (f", but {len(others)} other files" if others else "")
        raise CaseError(str(folder), f"must hold images ({', '.join(SUFFIXES)}, DICOM)", found, "check --input")
    listed = Listed[NamedCase]([], [])
    for path in sorted(paths + closed):
        name = str(path.relative_to(folder)) if path != folder else path.name
        case = _named({"image": str(path)}, name)
        if error := _why_not(path, folder, path in closed):
            listed.refused.append(Refused(case, error))
        else:
            listed.cases.append(case)
    return listed


def _why_not(path: Path, folder: Path, is_closed: bool) -> CaseError | None:
    if is_closed:
        return CaseError(str(path), "a folder must be readable", "its content cannot be listed", "check its permissions")
    target = Path(os.path.realpath(path))  # unlike Path.resolve it takes links that lead to themselves
    if target.is_relative_to(os.path.realpath(folder)):
        return None
    rule = f"images must lie inside {folder}, not behind links"
    return CaseError(str(path), rule, f"it leads to {target}", "copy it there")


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


def _named(case: Case, path: str | None = None) -> NamedCase:
    """path: what its mask is named after, below the output folder; the image's name if not given."""
    return {**case, "name": _mask_name(path or Path(file_of(case)).name)}


def _refused_named(listed: Listed[Case]) -> list[Refused[NamedCase]]:
    """Of an earlier run they may have masks."""
    return [Refused(_named(case), error) for case, error in listed.refused]


def _mask_name(path: str) -> str:
    """sub/case.nii.gz -> sub/case_seg"""
    stem = next((path[: -len(suffix)] for suffix in SUFFIXES if path.lower().endswith(suffix)), path.removesuffix(".dcm"))
    return f"{stem}_seg"


def _with_names_of_their_own(listed: Listed[NamedCase]) -> Listed[NamedCase]:
    """Refuses cases whose masks would have one name, or one too long for a file."""
    groups: dict[str, list[NamedCase]] = defaultdict(list)
    for case in listed.cases:
        groups[case["name"]].append(case)
    found = Listed[NamedCase]([], list(listed.refused))
    for case in listed.cases:
        others = ", ".join(file_of(other) for other in groups[case["name"]] if other is not case)
        length = len(os.fsencode(Path(case["name"]).name + MASK))
        if others:
            rule, reason, remedy = (
                "masks must not overwrite each other",
                f"the mask of {others} would have the same name",
                "rename it",
            )
            found.refused.append(Refused(case, CaseError(file_of(case), rule, reason, remedy)))
        elif length > LONGEST_NAME:
            rule, reason = f"a file's name may have {LONGEST_NAME} bytes", f"that of its mask would have {length}"
            found.refused.append(Refused(case, CaseError(file_of(case), rule, reason, "shorten the name")))
        else:
            found.cases.append(case)
    return found
