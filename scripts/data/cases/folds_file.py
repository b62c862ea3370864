"""A dataset.json and a number of folds -> folds.json, which cases each fold holds out: written once, then held to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...basics.case import file_of
from ...files.atomic_write import write_json
from .case_error import CaseError
from .datalist import deal_out, read_json
from .split_subjects import subjects_of


def write_folds(path: Path, dataset_dir: str | Path, folds: int, seed: int, labels: Mapping[str, str]) -> list[list[str]]:
    """Writes `path`, or checks that what is there says the same; it depends on the dataset, `folds` and `seed` alone.

    Args:
        path: of the file.
        dataset_dir: the folder of the dataset.json.
        folds: how many.
        seed: of the order in which subjects are dealt out.
        labels: the preset's, value -> name.

    Returns:
        The cases of each fold: their first images, relative to `dataset_dir`.

    Raises:
        FileNotFoundError: if there is no dataset.json.
        CaseError: for a file that is no such list, or has fewer subjects than folds.
        ValueError: if the file that is there says otherwise.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data.cases.folds_file import write_folds
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 5}, shape=(16, 14, 8))
        ...     [len(cases) for cases in write_folds(Path(folder) / "folds.json", folder, folds=2, seed=0, labels={})]
        [3, 2]
    """
    content = _folds_of(dataset_dir, folds, seed, labels)
    if path.exists():
        _require_the_same(path, content)
    else:
        write_json(path, content)
    return [fold["cases"] for fold in content["folds"]]


def require_folds(path: Path, dataset_dir: str | Path, folds: int, seed: int, labels: Mapping[str, str]) -> None:
    """Raises as `write_folds` does if the file at `path` says otherwise than the dataset now does."""
    _require_the_same(path, _folds_of(dataset_dir, folds, seed, labels))


def _folds_of(dataset_dir: str | Path, folds: int, seed: int, labels: Mapping[str, str]) -> dict[str, Any]:
    """What the file says."""
    folder = Path(dataset_dir).absolute()
    path = folder / "dataset.json"
    listed, numbers = deal_out(path, read_json(path), folds, seed, labels)
    found = [
        (Path(os.path.relpath(file_of(case), folder)).as_posix(), subject)
        for case, subject in zip(listed.cases, subjects_of(listed.cases), strict=True)
    ]
    held_out = [[pair for pair, number in zip(found, numbers, strict=True) if number == fold] for fold in range(folds)]
    return {
        "seed": seed,
        "number": folds,
        "folds": [
            {"subjects": sorted({subject for _, subject in pairs}), "cases": sorted(case for case, _ in pairs)}
            for pairs in held_out
        ],
    }


def _require_the_same(path: Path, now: dict[str, Any]) -> None:
    if (before := read_json(path)) == now:
        return
    for key, name in (("number", "folds"), ("seed", "seed")):
        if key in before and before[key] != now[key]:
            found = f"{name} was {before[key]}, now it is {now[key]}"
            break
    else:
        try:
            old, new = ({case: i for i, fold in enumerate(said["folds"]) for case in fold["cases"]} for said in (before, now))
        except (KeyError, TypeError) as error:
            raise CaseError(str(path), "must be the folds that this bundle wrote", "it is not", "remove it") from error
        gone, come = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
        moved = sorted(case for case in old.keys() & new.keys() if old[case] != new[case])
        words = (("no longer there", gone), ("new", come), ("in another fold", moved))
        parts = [f"{len(cases)} {what}, first {cases[0]}" for what, cases in words if cases]
        found = f"of the training cases of dataset.json are {'; '.join(parts)}" if parts else "the subjects have other names"
    raise ValueError(
        f"{path} says which cases each fold holds out, and this run has others: {found}; use the dataset.json and the options "
        "of the first run, or choose another output folder"
    )
