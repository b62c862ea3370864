"""folds.json says which cases a fold holds out, once for all networks; what says otherwise is refused in words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.data import CaseError, read_datalist
from scripts.data.cases.folds_file import write_folds

SUBJECTS = 7


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of two scans of each subject."""
    names = [f"p{i}_visit{j}.nii" for i in range(SUBJECTS) for j in range(2)]
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / "data" / name).touch()
        (tmp_path / "data" / f"label_{name}").touch()
    list_training(tmp_path / "data", names)
    return tmp_path / "data"


def list_training(folder: Path, names: list[str]) -> None:
    cases = [{"image": name, "label": f"label_{name}"} for name in names]
    (folder / "dataset.json").write_text(json.dumps({"training": cases}))


def training(folder: Path) -> list[str]:
    return [case["image"] for case in json.loads((folder / "dataset.json").read_text())["training"]]


def test_it_says_what_each_fold_holds_out_and_is_written_once(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "run" / "folds.json"
    cases = write_folds(path, dataset, folds=3, seed=5, labels={})
    content = json.loads(path.read_text())
    assert (content["seed"], content["number"]) == (5, 3)
    for number, fold in enumerate(content["folds"]):
        held_out = read_datalist(dataset, seed=5, folds=3, fold=number)["validation"].cases
        assert fold["cases"] == sorted(Path(str(case["image"])).name for case in held_out) == cases[number]
        assert fold["subjects"] == sorted({name.partition("_")[0] for name in fold["cases"]})
    before = path.stat()
    list_training(dataset, training(dataset)[::-1])
    assert write_folds(path, dataset, folds=3, seed=5, labels={}) == cases
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (None, {"folds": 4}, "folds was 3, now it is 4"),
        (None, {"seed": 6}, "seed was 5, now it is 6"),
        (lambda names: [*names, "p0_visit7.nii"], {}, "1 new, first p0_visit7.nii"),
        (lambda names: names[1:], {}, "1 no longer there, first p0_visit0.nii"),
    ],
    ids=["folds", "seed", "new", "gone"],
)
def test_another_dataset_or_other_options_are_refused(
    dataset: Path, tmp_path: Path, change: Callable[[list[str]], list[str]] | None, options: dict[str, Any], said: str
) -> None:
    path = tmp_path / "folds.json"
    options = {"folds": 3, "seed": 5, "labels": {}} | options
    write_folds(path, dataset, folds=3, seed=5, labels={})
    before = path.read_bytes()
    for name in ("p0_visit7.nii", "label_p0_visit7.nii"):
        (dataset / name).touch()
    if change:
        list_training(dataset, change(training(dataset)))
    with pytest.raises(ValueError, match=r"folds\.json says which cases each fold holds out, and this run") as error:
        write_folds(path, dataset, **options)
    assert said in str(error.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["{}", '{"seed": 5, "number": 3, "folds": 1}', "[1", '{"folds": [{"cases": 3}]}'])
def test_what_is_no_such_file_is_refused(dataset: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "folds.json").write_text(content)
    with pytest.raises(CaseError, match=r"folds\.json: must be "):
        write_folds(tmp_path / "folds.json", dataset, folds=3, seed=5, labels={})
