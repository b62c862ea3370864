"""The evaluations of folds, joined, are that of all their cases at once."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from test_case_metrics import ABSENT, LABELS, MISSED, PERFECT, SHIFTED, output

from scripts.data import open_image
from scripts.evaluation import CaseMetrics, join_folds

CASES = [PERFECT, SHIFTED, MISSED, ABSENT, SHIFTED]


def evaluate(folder: Path, numbers: list[int], **options: Any) -> Path:
    folder.mkdir()
    metrics = CaseMetrics(folder, LABELS, open_image, **{"nsd_tolerance": 1.0, "nsd_unit": "mm"} | options)
    for i in numbers:
        metrics.add(output(folder, f"case {i}", *CASES[i]))
    metrics.finish()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_alike(found: Any, expected: Any) -> None:
    """Numbers but for what six digits of a table leave out."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    else:
        is_number = isinstance(expected, int | float | list)  # or an interval
        assert found == (pytest.approx(expected, rel=1e-4) if is_number else expected)


def test_the_joined_tables_are_those_of_all_cases_at_once_and_name_the_folds(tmp_path: Path) -> None:
    whole = evaluate(tmp_path / "whole", [0, 1, 2, 3, 4])
    folds = {0: evaluate(tmp_path / "a", [0, 1]), 1: evaluate(tmp_path / "b", [2, 3, 4])}
    returned = join_folds(folds, tmp_path / "run", LABELS, open_image).summary()
    joined, expected = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "run", whole))
    assert returned["mean_dice"] == joined["mean_dice"]
    of_folds = joined.pop("folds")
    assert_alike(joined, expected)
    assert [(fold["fold"], fold["cases"]) for fold in of_folds] == [(0, 2), (1, 3)]
    assert of_folds[1]["mean_dice"] == json.loads((tmp_path / "b" / "metrics.json").read_text())["mean_dice"]
    numbers = ["0"] * 4 + ["1"] * 6  # two classes of each case
    assert (tmp_path / "run" / "confusion.csv").read_bytes() == (whole / "confusion.csv").read_bytes()
    assert rows(tmp_path / "run") == [{**row, "fold": fold} for row, fold in zip(rows(whole), numbers, strict=True)]


def test_folds_that_were_measured_otherwise_and_the_files_of_others_are_refused(tmp_path: Path) -> None:
    folds = {0: evaluate(tmp_path / "a", [0]), 1: evaluate(tmp_path / "b", [1], nsd_tolerance=2.0)}
    with pytest.raises(ValueError, match="were not measured alike"):
        join_folds(folds, tmp_path / "run", LABELS, open_image)
    (tmp_path / "metrics.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"metrics\.csv is there and was not written by this bundle"):
        join_folds({0: folds[0]}, tmp_path, LABELS, open_image)
