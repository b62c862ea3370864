"""Metrics of the same cases under several networks -> means and paired differences, each with an interval over the cases."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

RESAMPLES, SEED = 10_000, 0
LEVEL = 95  # percent


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CaseValues:
    """One measure of every case and class; NaN where it is missing."""

    cases: tuple[str, ...]
    classes: tuple[str, ...]
    values: np.ndarray  # (cases, classes)


def measures_in(metrics_csv: Path) -> list[str]:
    """Its columns, in their order."""
    with metrics_csv.open(newline="") as file:
        return next(csv.reader(file))


def read_case_values(metrics_csv: Path, measure: str) -> CaseValues:
    """The column `measure` of what `CaseMetrics` or `join_folds` wrote, cases in order of name."""
    with metrics_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    cases = tuple(sorted({_case_of(row) for row in rows}))
    classes = tuple(dict.fromkeys(row["class"] for row in rows))
    values = np.full((len(cases), len(classes)), np.nan)
    for row in rows:
        values[cases.index(_case_of(row)), classes.index(row["class"])] = float(row[measure] or "nan")
    return CaseValues(cases, classes, values)


def _case_of(row: Mapping[str, str]) -> str:
    """With its fold, if there are any: names are unique within one evaluation, and cases of other folds are not compared."""
    return f"fold_{row['fold']}/{row['case']}" if "fold" in row else row["case"]


def mean_interval(values: np.ndarray) -> Interval:
    """Of the mean over classes of each class's mean over the cases that have it, as in metrics.json.

    values: (cases, classes), NaN excluded.
    """
    once, drawn = _draw_cases(len(values))
    return _interval(_means(values, once)[0], _means(values, drawn))


def difference_interval(values: np.ndarray, reference: np.ndarray) -> Interval:
    """Of the mean minus the reference's; paired: a resample holds the same cases on both sides."""
    once, drawn = _draw_cases(len(values))
    return _interval((_means(values, once) - _means(reference, once))[0], _means(values, drawn) - _means(reference, drawn))


@lru_cache(maxsize=2)
def _draw_cases(cases: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each case counts: (1, cases) once, and (RESAMPLES, cases) as the bootstrap draws them with replacement."""
    drawn = np.random.default_rng(SEED).multinomial(cases, np.full(cases, 1 / cases), size=RESAMPLES)
    return np.ones((1, cases)), drawn


def _means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(cases, classes), (resamples, cases) -> (resamples,); NaN where no class is left."""
    there = ~np.isnan(values)
    of_class = counts @ there  # (resamples, classes)
    with np.errstate(invalid="ignore"):
        means = counts @ np.where(there, values, 0.0) / of_class
        return np.nansum(means, axis=1) / (of_class > 0).sum(axis=1)


def _interval(value: float, resampled: np.ndarray) -> Interval:
    """The percentile interval."""
    there = resampled[~np.isnan(resampled)]
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(there, (tail, 100 - tail)) if there.size else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))
