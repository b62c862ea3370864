"""The evaluations of folds -> one evaluation of all their cases."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .calibration.sampled_case import read_sampled_cases
from .case_metrics import FILES, CaseMetrics
from .ras_volume import OpenImage

TEXT = ("case", "class")
OF_FOLD = ("cases", "mean_dice", "mean_dice_interval")


def join_folds(
    evaluations: Mapping[int, Path], output_dir: Path, labels: Mapping[str, str], open_image: OpenImage, **options: Any
) -> CaseMetrics:
    """Each case was held out of one fold, whose network has measured it.

    Args:
        evaluations: fold -> the folder of its evaluation.
        output_dir: of the files, which are those that `CaseMetrics` writes, over all cases alike. The table has the column
            `fold` too, and the means have those of each fold in the list `folds`.
        labels: see `CaseMetrics`.
        open_image: reads the files again, for the picture.
        options: further ones of `CaseMetrics`, but for the tolerance of NSD and its unit, which the evaluations know.

    Returns:
        What measured them, with all rows.

    Raises:
        FileExistsError: when a file of one of these names is somebody else's.
        ValueError: where folds were not measured alike.

    Example:
        >>> from pathlib import Path
        >>> from scripts.data import open_image
        >>> from scripts.evaluation import join_folds
        >>> join_folds({}, Path("run"), {"0": "background", "1": "liver"}, open_image)
        Traceback (most recent call last):
        ValueError: there must be an evaluation to join
    """
    if not evaluations:
        raise ValueError("there must be an evaluation to join")
    table, means = FILES[:2]
    of_folds = {fold: json.loads((folder / means).read_text(encoding="utf-8")) for fold, folder in evaluations.items()}
    first = next(iter(of_folds.values()))
    measured = [(list(found["classes"]), _how(found)) for found in of_folds.values()]
    if any(other != measured[0] for other in measured):
        raise ValueError(
            f"the folds of {output_dir} were not measured alike: classes, nsd_tolerance or nsd_unit differ; remove the folders "
            "`evaluation` in them, and give the same command again"
        )
    metrics = CaseMetrics(output_dir, labels, open_image, **_how(first), **options)
    metrics.clear()
    for fold, folder in evaluations.items():
        cases = read_sampled_cases(folder)  # they know the files, which may have been moved since
        files = {case.name: dict(case.files) for case in cases if all(Path(path).exists() for path in case.files.values())}
        for row in _read_rows(folder / table):
            metrics.rows.append({**row, "fold": fold})
            metrics.files.setdefault(row["case"], files.get(row["case"], {}))
        if metrics.confusion:
            metrics.confusion.add_table(of_folds[fold]["confusion"])
    metrics.finish(folds=[{"fold": fold, **{key: found[key] for key in OF_FOLD}} for fold, found in of_folds.items()])
    return metrics


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
