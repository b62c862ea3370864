"""The evaluations of folds -> one evaluation of all their cases, with its page."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

PAGE = "report.html"


@dataclass
class Entries:
    """What became of each case, see `evaluation.report.page_content.CaseEntries`."""

    entries: list[dict[str, Any]]


def refuse_foreign_evaluation(output: Path) -> None:
    """Raises FileExistsError where a file of the joined evaluation is somebody else's."""
    from ..evaluation.case_metrics import refuse_foreign_tables
    from ..evaluation.report.report_page import is_page
    from ..files.own_file import refuse_foreign

    refuse_foreign_tables(output)
    refuse_foreign(output / PAGE, is_page)


def join_evaluations(output: Path, evaluations: Mapping[int, Path], checkpoints: Sequence[Path]) -> dict[str, Any]:
    """What metrics.json holds. evaluations: fold -> the folder of its evaluation. checkpoints: of all folds.

    Raises as `join_folds` does.
    """
    from ..basics.classes import classes_of
    from ..data import open_image, open_label
    from ..evaluation import ReportPage, join_folds
    from ..files.checkpoint_file import read_about

    refuse_foreign_evaluation(output)
    about = read_about(checkpoints[0]) or {}
    named = {"labels": about["labels"], "merge_labels": about.get("merge_labels", {})}
    classes, open_reference = classes_of(**named), partial(open_label, **named)
    metrics = join_folds(
        evaluations,
        output,
        classes,
        open_image,
        open_reference=open_reference,
        spacing_known=str(about.get("spacing_known", True)).lower() == "true",
        ignore_label=about.get("ignore_label", []),
        regions=about.get("regions", {}),
    )
    reports = [json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in evaluations.values()]
    ReportPage(
        output / PAGE,
        Entries([entry for report in reports for entry in report]),
        classes,
        open_image,
        open_reference=open_reference,
        metrics=metrics,
        checkpoint=[*map(str, checkpoints)],
        arguments=["sam3d", *sys.argv[1:]],
    ).write()
    return json.loads((output / "metrics.json").read_text(encoding="utf-8"))
