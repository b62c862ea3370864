"""A dataset.json, a folder or a file -> the list of cases."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import load_decathlon_datalist

from .case_error import CaseError

logger = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii")
Case = dict[str, Any]  # image: path or list of paths, one for each modality; label: path


def read_datalist(dataset_dir: str | Path, part: str, val_fraction: float = 0.2, seed: int = 0) -> list[Case]:
    """The cases of one part of `dataset_dir`/dataset.json (Medical Segmentation Decathlon form), paths made absolute.

    part: `training`, `validation` or `test`. Where the file has no validation list, a fraction `val_fraction` of the training
    list, chosen by `seed`, serves as one.
    Raises FileNotFoundError or CaseError; every file must exist and lie inside `dataset_dir`.
    """
    path = Path(dataset_dir).absolute() / "dataset.json"
    content = _read_json(path)
    if part != "validation" and not content.get(part):
        raise CaseError(
            str(path), f"must list cases under '{part}'", f"its keys are {', '.join(content) or 'none'}", "see docs/README.md"
        )
    if part == "test":
        return _labelled_cases(path, part)
    if content.get("validation"):
        parts = {name: _labelled_cases(path, name) for name in ("training", "validation") if content.get(name)}
        _refuse_overlap(path, parts)
        return parts[part]
    cases = _labelled_cases(path, "training")
    held_out = _seeded_choice(len(cases), val_fraction, seed, path)
    return [case for i, case in enumerate(cases) if (i in held_out) == (part == "validation")]


def read_references(dataset_dir: str | Path, part: str, val_fraction: float = 0.2, seed: int = 0) -> list[Case]:
    """The same cases for evaluation: the label is called `reference`, since it stays in the file's own space; with `name`."""
    cases = read_datalist(dataset_dir, part, val_fraction, seed)
    return _with_distinct_names(
        [
            {"image": case["image"], "reference": case["label"], "name": _mask_name(Path(_first(case["image"])))}
            for case in cases
        ]
    )


def find_images(source: str | Path) -> list[Case]:
    """The images at `source`: a file, a folder (searched through, in order of name; the log names what is left out) or a
    dataset.json.

    Of a dataset.json the list `test` is taken; where it is empty, `validation`.
    Each case has `image` and `name`, the mask's path below the output folder without suffix.
    Raises FileNotFoundError or CaseError when there is nothing to segment.
    """
    source = Path(source).absolute()
    if source.is_dir():
        visible = sorted(f for f in source.rglob("*") if f.is_file() and f.name[0] != ".")
        files = [f for f in visible if f.name.endswith(SUFFIXES)]
        others = [f.name for f in visible if not f.name.endswith(SUFFIXES)]
        if others:
            shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            logger.warning("%s: %d files are not %s and are left out: %s", source, len(others), " or ".join(SUFFIXES), shown)
        cases = [{"image": str(f), "name": _mask_name(f.relative_to(source))} for f in files]
    elif source.suffix == ".json":
        content = _read_json(source)
        part = "test" if content.get("test") else "validation"
        if not content.get(part):
            found = "it has neither 'test' nor 'validation'"
            raise CaseError(str(source), "must list images to segment", found, "add 'test', or give --input a folder")
        logger.info("%s: segmenting its list '%s'", source, part)
        images = [case["image"] for case in _cases(source, part)]
        cases = [{"image": image, "name": _mask_name(Path(_first(image)))} for image in images]
    elif source.is_file():
        cases = [{"image": str(source), "name": _mask_name(source)}]
    else:
        raise FileNotFoundError(f"no file or folder {source}; give --input an image, a folder of images or a dataset.json")
    if not cases:
        raise CaseError(str(source), f"must hold images ({' or '.join(SUFFIXES)})", "there is none", "check --input")
    return _with_distinct_names(cases)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; a dataset is a folder with a dataset.json, see docs/README.md")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CaseError(str(path), "must be JSON", str(error), "correct the file") from error
    if not isinstance(content, dict):
        raise CaseError(str(path), "must be a JSON object", f"it is a {type(content).__name__}", "correct the file")
    return content


def _cases(path: Path, part: str) -> list[Case]:
    """One list of a dataset.json, every file of it checked to exist inside the dataset's folder."""
    try:
        cases: list[Any] = load_decathlon_datalist(
            str(path), is_segmentation=True, data_list_key=part, base_dir=str(path.parent)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CaseError(str(path), f"'{part}' must be a list of image and label paths", str(error), "correct it") from error
    root = path.parent.resolve()
    for case in cases:
        if not isinstance(case, dict) or not case.get("image"):
            raise CaseError(str(path), f"every case of '{part}' must name its image", f"found {case}", "correct it")
        for key in ("image", "label"):
            for file in as_list(case.get(key, [])):
                if not isinstance(file, str):
                    raise CaseError(str(path), f"the files of '{part}' must be paths", f"found {file!r}", "correct it")
                if not Path(file).resolve().is_relative_to(root):
                    found = f"{part} names {file}, which is {Path(file).resolve()}"
                    raise CaseError(
                        str(path), f"files must lie inside {root}, not behind links", found, "move or copy it there"
                    )
                if not Path(file).is_file():
                    raise CaseError(str(path), f"the files of '{part}' must exist", f"there is no {file}", "correct the path")
    return cases


def _labelled_cases(path: Path, part: str) -> list[Case]:
    cases = _cases(path, part)
    for case in cases:
        if not case.get("label"):
            raise CaseError(str(path), f"every case of '{part}' must name its label", f"found {case}", "correct it")
    return cases


def _refuse_overlap(path: Path, parts: dict[str, list[Case]]) -> None:
    """No image may be trained on and validated on, else every score is too good."""
    images = {part: {file for case in cases for file in as_list(case["image"])} for part, cases in parts.items()}
    shared = set.intersection(*images.values()) if len(images) > 1 else set()
    if shared:
        found = f"{len(shared)} images are in both, for example {min(shared)}"
        raise CaseError(str(path), "training and validation must not share images", found, "list each once")


def _seeded_choice(count: int, fraction: float, seed: int, path: Path) -> set[int]:
    chosen = round(count * fraction)
    if not 0 < chosen < count:
        raise CaseError(
            str(path),
            "a validation list, or enough training cases to split one off, is needed",
            f"{count} cases and val_fraction {fraction} leave {count - chosen} for training and {chosen} for validation",
            "add cases or change --val_fraction",
        )
    return set(np.random.default_rng(seed).permutation(count)[:chosen].tolist())


def as_list(paths: str | list[str]) -> list[str]:
    """The files of an image: one, or one for each modality."""
    return paths if isinstance(paths, list) else [paths]


def _first(image: str | list[str]) -> str:
    return as_list(image)[0]


def _mask_name(relative: Path) -> str:
    """sub/case.nii.gz -> sub/case_seg; a path that is not relative loses its folders."""
    if relative.is_absolute():
        relative = Path(relative.name)
    stem = next((relative.name.removesuffix(suffix) for suffix in SUFFIXES if relative.name.endswith(suffix)), relative.stem)
    return str(relative.with_name(f"{stem}_seg"))


def _with_distinct_names(cases: list[Case]) -> list[Case]:
    seen: dict[str, str] = {}
    for case in cases:
        file = _first(case["image"])
        if case["name"] in seen:
            raise CaseError(
                file,
                "masks must not overwrite each other",
                f"{seen[case['name']]} would get the same mask",
                "list it once or rename it",
            )
        seen[case["name"]] = file
    return cases
