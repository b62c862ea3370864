"""The evaluations of folds -> one metrics.csv and one metrics.json over all their cases."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.atomic_write import write_json
from .case_metrics import FILES, means_of, refuse_foreign_tables, write_rows

TEXT = ("case", "class")
OF_FOLD = ("cases", "mean_dice", "mean_dice_interval")


def join_folds(evaluations: Mapping[int, Path], output_dir: Path) -> dict[str, Any]:
    """Each case was held out of one fold, whose network has measured it.

    Args:
        evaluations: fold -> the folder of its evaluation.
        output_dir: of both files. The table has the column `fold` too; the means are as `CaseMetrics` has them, over all cases
            alike, with those of each fold in the list `folds`.

    Returns:
        What metrics.json holds.

    Raises:
        FileExistsError: when a file of one of these names is somebody else's.
        ValueError: where folds were not measured alike.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.evaluation import join_folds
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     join_folds({}, Path(folder))
        Traceback (most recent call last):
        ValueError: there must be an evaluation to join
    """
    if not evaluations:
        raise ValueError("there must be an evaluation to join")
    refuse_foreign_tables(output_dir)
    table, means = FILES[:2]
    of_folds = {fold: json.loads((folder / means).read_text(encoding="utf-8")) for fold, folder in evaluations.items()}
    first = next(iter(of_folds.values()))
    measured = [(list(found["classes"]), _how(found)) for found in of_folds.values()]
    if any(other != measured[0] for other in measured):
        raise ValueError(
            f"the folds of {output_dir} were not measured alike: classes, nsd_tolerance or nsd_unit differ; remove the folders "
            "`evaluation` in them, and give the same command again"
        )
    rows = [{**row, "fold": fold} for fold, folder in evaluations.items() for row in _read_rows(folder / table)]
    summary = {
        **means_of(rows, list(first["classes"])),
        "folds": [{"fold": fold, **{key: found[key] for key in OF_FOLD}} for fold, found in of_folds.items()],
        **({"confusion": _sum([found["confusion"] for found in of_folds.values()])} if "confusion" in first else {}),
        **_how(first),
    }
    write_rows(output_dir / table, rows)
    write_json(output_dir / means, summary)
    return summary


def _how(summary: Mapping[str, Any]) -> dict[str, Any]:
    """With what it was measured."""
    return {key: value for key, value in summary.items() if key.startswith("nsd_")}


def _read_rows(table: Path) -> list[dict[str, Any]]:
    with table.open(newline="") as file:
        return [
            {key: text if key in TEXT else (_number(text) if text else None) for key, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)  # counts stay whole


def _sum(tables: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    return {name: {found: sum(table[name][found] for table in tables) for found in row} for name, row in tables[0].items()}
