"""Rows -> comparison.md, comparison.csv and accuracy.png."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...files.atomic_write import atomic_write
from ..measure import markdown_section, three_digits
from .accuracy_plot import draw_accuracy
from .compare_cases import Interval, difference_interval, mean_interval
from .result import NetworkResult

MEASURES = {
    "dice": "Dice",
    "hd95_mm": "HD95, mm",
    "hd95_voxels": "HD95, voxels",
    "assd_mm": "ASSD, mm",
    "assd_voxels": "ASSD, voxels",
    "nsd": "NSD",
    "volume_error_ml": "absolute volume error, ml",
}
IN_MM_OR_VOXELS = ("hd95", "assd")
NOT_MEASURED = "-"  # of an evaluation that did not have this measure yet
COSTS = {
    "steps": "steps",
    "training_minutes": "training, min",
    "preparation_minutes": "before it, min",
    "step_seconds": "s a step",
    "peak_memory_gb": "peak memory, GB",
    "gmacs": "GMAC a crop",
    "parameters_m": "parameters, M",
    "trained_parameters_m": "trained, M",
}
PLOTTED = ("step_seconds", "gmacs", "trained_parameters_m")
INTERVALS = (
    "In brackets 95 % intervals over the cases (percentile bootstrap, 10,000 resamples, seed 0; of differences paired, case by "
    "case). They say how far other cases might move a number, not how far another seed would."
)


def write_tables(rows: Sequence[NetworkResult], title: str, about: str, folder: Path) -> None:
    """rows: finished and failed; the first finished one is what the others are compared with."""
    finished = _in_one_unit([row for row in rows if row.failure is None])
    failures = [f"* {row.name} did not finish: {row.failure}\n" for row in rows if row.failure is not None]
    sections = [f"# {title}\n", f"{about}\n", *failures]
    if finished:
        sections += [_accuracy(finished), _classes(finished), _cost(finished), "![Accuracy against cost](accuracy.png)\n"]
        _write_csv(finished, folder / "comparison.csv")
        _draw(finished, folder / "accuracy.png")
    with atomic_write(folder / "comparison.md") as temporary:
        temporary.write_text("\n".join(sections))


def _in_one_unit(rows: Sequence[NetworkResult]) -> list[NetworkResult]:
    """In mm and ml, but for data whose spacing is not known: then no row has any."""
    left_out = {f"{distance}_{'voxels' if _has(rows, f'{distance}_mm') else 'mm'}" for distance in IN_MM_OR_VOXELS}
    if not _has(rows, "volume_error_ml"):
        left_out.add("volume_error_ml")
    return [replace(row, values={name: values for name, values in row.values.items() if name not in left_out}) for row in rows]


def _has(rows: Sequence[NetworkResult], measure: str) -> bool:
    return any((~np.isnan(row.values[measure].values)).any() for row in rows if measure in row.values)


def _measures(rows: Sequence[NetworkResult]) -> list[str]:
    """That any of them has."""
    return [measure for measure in MEASURES if any(measure in row.values for row in rows)]


def _accuracy(rows: Sequence[NetworkResult]) -> str:
    """Means over the classes."""
    first = rows[0]
    others = [measure for measure in _measures(rows) if measure != "dice"]
    cells = []
    for row in rows:
        difference = "" if row is first else _shown(_difference(row, first), "{:+.3f}".format)
        means = [_mean(row, measure) for measure in others]
        cells.append([row.name, f"**{_shown(mean_interval(row.values['dice'].values))}**", difference, *means])
    text = f"Means over the classes, {len(first.values['dice'].cases)} cases. {INTERVALS}"
    columns = ["network", "mean Dice", f"difference to {first.name}", *(MEASURES[measure] for measure in others)]
    return markdown_section("Accuracy", text, columns, cells)


def _mean(row: NetworkResult, measure: str, classes: slice = slice(None)) -> str:
    if measure not in row.values:
        return NOT_MEASURED
    return _shown(mean_interval(row.values[measure].values[:, classes])) + _missing(row, measure, classes)


def _difference(row: NetworkResult, first: NetworkResult) -> Interval:
    dice, reference = row.values["dice"], first.values["dice"]
    if (dice.cases, dice.classes) != (reference.cases, reference.classes):
        raise ValueError(f"{row.name} and {first.name} were evaluated on other cases; remove their folders and run again")
    return difference_interval(dice.values, reference.values)


def _classes(rows: Sequence[NetworkResult]) -> str:
    cells = []
    for index, name in enumerate(rows[0].values["dice"].classes):
        for row in rows:
            cells.append([name, row.name, *(_mean(row, measure, slice(index, index + 1)) for measure in _measures(rows))])
    text = (
        "A class that a case has neither in mask nor reference is left out; HD95 and ASSD are missing where only one of them "
        "has it."
    )
    return markdown_section("Classes", text, ["class", "network", *(MEASURES[measure] for measure in _measures(rows))], cells)


def _missing(row: NetworkResult, measure: str, classes: slice = slice(None)) -> str:
    """How often a class is on one side alone, where there is no distance: a mean without those looks too good."""
    there = ~np.isnan(row.values["dice"].values[:, classes])
    missing = int(np.isnan(row.values[measure].values[:, classes][there]).sum())
    return f" ({missing} of {there.sum()} missing)" if missing else ""


def _cost(rows: Sequence[NetworkResult]) -> str:
    on_cpu = rows[0].made_by["device"] == "cpu"
    memory = "resident set of the main process" if on_cpu else "memory of tensors on the GPU"
    text = (
        "Training: the sum of its steps, reading included. Before it: filling the embedding cache, if there is one; what one "
        f"network fills, the next ones use. Memory: the largest {memory} during the steps. GMAC: convolutions, matrix products "
        "and attention of one crop's forward pass."
    )
    cells = [[row.name, *("" if row.cost[key] is None else row.cost[key] for key in COSTS)] for row in rows]
    return markdown_section("Cost", text, ["network", *COSTS.values()], cells)


def _shown(interval: Interval, form: Callable[[float], str] = three_digits) -> str:
    """Nothing where a measure is missing in all cases."""
    if math.isnan(interval.value):
        return ""
    return f"{form(interval.value)} [{form(interval.low)}, {form(interval.high)}]"


def _write_csv(rows: Sequence[NetworkResult], path: Path) -> None:
    """A line for each network, numbers in full."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {"network": row.name}
        for measure in (name for name in MEASURES if name in row.values):
            values = row.values[measure]
            line |= _columns(measure, mean_interval(values.values))
            for index, name in enumerate(values.classes):
                line |= _columns(f"{measure} {name}", mean_interval(values.values[:, index : index + 1]))
        lines.append(line | _columns(f"dice minus that of {rows[0].name}", _difference(row, rows[0])) | row.cost)
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for line in lines for name in line)))
        writer.writeheader()
        writer.writerows(lines)


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name} low": interval.low, f"{name} high": interval.high}


def _draw(rows: Sequence[NetworkResult], path: Path) -> None:
    accuracy = {row.name: mean_interval(row.values["dice"].values) for row in rows}
    costs = {COSTS[key]: {row.name: value for row in rows if (value := row.cost[key]) is not None} for key in PLOTTED}
    draw_accuracy(accuracy, {name: values for name, values in costs.items() if len(values) == len(rows)}, "mean Dice", path)
