"""What a run knows, and what lies beside its masks -> all that page.html shows. What is not there is None or empty."""

import csv
import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from markupsafe import Markup

from ...basics.figures import colour_of
from ...files.checkpoint_file import checkpoints_of
from ...run.fold_folders import run_of_folds
from ..case_metrics import CaseMetrics
from ..examples import choose_examples
from ..ras_volume import OpenImage
from ..segmentation_metrics import MILLILITRE
from .montage import montage_of
from .plots import box_and_swarm, curves_plot
from .provenance import provenance, random_encoder, records_of
from .run_files import calibration_of, curves_of
from .shown_case import MOST_VOXELS, show_case
from .sprites import size_of, sprites_of

logger = logging.getLogger(__name__)

SHOWN = 6  # cases in the viewer
LARGEST_CASE = 900_000  # bytes of the sprites of one
MEASURES = {
    "dice": "Dice",
    "nsd": "NSD",
    "hd95_mm": "HD95 (mm)",
    "hd95_voxels": "HD95 (voxels)",
    "assd_mm": "ASSD (mm)",
    "assd_voxels": "ASSD (voxels)",
    "volume_error_ml": "Volume error (ml)",
}
IN_MM = {"hd95_voxels": "hd95_mm", "assd_voxels": "assd_mm"}  # the former are shown where nobody knows the latter
PATHS = ("file", "mask")  # columns of quality.csv that are too long to read
Content = dict[str, Any]
Value = TypeVar("Value")


class CaseEntries(Protocol):
    """A dictionary {file, status, rule, reason, mask} for each case: see `data.CaseReport`."""

    entries: list[dict[str, Any]]


def page_content(
    folder: Path,
    entries: Sequence[Mapping[str, Any]],
    labels: Mapping[int, str],
    open_image: OpenImage,
    open_reference: OpenImage | None,
    metrics: CaseMetrics | None,
    checkpoint: str | Path | Sequence[str],
    arguments: Sequence[str],
) -> Content:
    """folder: of the tables. Parts that cannot be drawn are left out, and named in `omitted`."""
    omitted: list[str] = []

    def tried(what: str, part: Callable[[], Value]) -> Value | None:
        try:
            return part()
        except Exception as error:  # no damaged file beside the masks costs the rest of the page
            omitted.append(f"{what}: {type(error).__name__}: {error}")
            logger.warning("%s: left out of the report: %s: %s", what, type(error).__name__, error)
            return None

    named = {value: name for value, name in labels.items() if value > 0}
    colours = {value: colour_of(value) for value in named}
    masks = [str(entry["mask"]) for entry in entries if entry["mask"]]
    records = records_of(masks)
    runs = list(dict.fromkeys(Path(path).absolute().parent for path in checkpoints_of(checkpoint)))
    cases = _measured(metrics) if metrics is not None else _segmented(entries, named, open_image, tried)
    examples, sprites = [], []
    known = metrics is None or metrics.spacing_known
    for example in cases.pop("examples"):
        if drawn := tried(
            example["name"], lambda files=example["files"]: drawn_case(files, colours, open_image, open_reference, known)
        ):
            examples.append({**example, "montage": drawn[1]})
            sprites.append({"name": example["name"], "title": example["title"], **drawn[0]})
    curves = tried("learning curves", lambda: curves_of(checkpoint)) or {}
    return {
        "run": _name_of(checkpoint, runs),
        "problems": [entry for entry in entries if entry["rule"]],
        "counts": _counts(entries),
        "random_encoder": random_encoder(records),
        **cases,
        "examples": examples,
        "viewer": {
            "cases": sprites,
            "labels": [{"name": name, "colour": _css(colours[value])} for value, name in named.items()],
        },
        "curves": [Markup(curves_plot(name, plot)) for name, plot in curves.items()],  # noqa: S704
        "calibration": tried("calibration", lambda: calibration_of([folder, *runs, *(run.parent for run in runs)])),
        "quality": tried("quality.csv", lambda: _table(folder / "quality.csv")),
        "provenance": provenance(records),
        "command": shlex.join(map(str, arguments)),
        "settings": tried("preset.json", lambda: _settings(folder / "preset.json")),
        "omitted": omitted,
    }


def _name_of(checkpoint: str | Path | Sequence[str], runs: Sequence[Path]) -> str | None:
    """Of the training run, or of the one with all these folds."""
    paths = [Path(path).absolute() for path in checkpoints_of(checkpoint)]
    run = runs[0] if len(runs) == 1 else run_of_folds(paths) if paths else None
    return "/".join(run.parts[-2:]) if run else None


def _counts(entries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    refused = sum(entry["status"] == "refused" for entry in entries)
    return {
        "cases": len(entries),
        "refused": refused,
        "in_doubt": sum(bool(entry["rule"]) and entry["status"] != "refused" for entry in entries),
    }


def _measured(metrics: CaseMetrics) -> Content:
    """Of an evaluation: means, plots, tables, and the worst, median and best cases."""
    numbers = {case: number for number, case in enumerate(metrics.files, 1)}
    names = list(metrics.structures)
    of_case: dict[str, dict[str, Any]] = {case: {} for case in numbers}
    for row in metrics.rows:
        of_case[row["case"]][row["class"]] = row
    dice = metrics.mean_dice_of()
    summary = metrics.summary() if metrics.rows else None
    there = [key for key in MEASURES if any(row[key] is not None for row in metrics.rows)]
    shown = [key for key in there if IN_MM.get(key) not in there]
    colours = [colour_of(metrics.structures[name][0] if metrics.confusion else n) for n, name in enumerate(names, 1)]
    plots = []
    for key in shown:
        rows = {name: [row for row in metrics.rows if row["class"] == name and row[key] is not None] for name in names}
        values = {name: [row[key] for row in found] for name, found in rows.items()}
        links = {name: [f"#case-{numbers[row['case']]}" for row in found] for name, found in rows.items()}
        plots.append(Markup(box_and_swarm(MEASURES[key], values, links, colours)))  # noqa: S704
    return {
        "kind": "evaluation",
        "summary": summary,
        "measures": {key: MEASURES[key] for key in shown},
        "plots": plots,
        "class_names": names,
        "cases": [
            {
                "number": number,
                "name": case,
                "values": [dice.get(case), *(of_case[case].get(name, {}).get("dice") for name in names)],
            }
            for case, number in numbers.items()
        ],
        "columns": ["Mean Dice", *(f"Dice {name}" for name in names)],
        "rows": [{"number": numbers[row["case"]], **row} for row in metrics.rows],
        "row_columns": [key for key in (metrics.rows[0] if metrics.rows else {}) if key not in ("case", "class")],
        "confusion": _confusion(metrics),
        "examples": [
            {
                "number": numbers[example.case],
                "name": example.case,
                "kind": example.kind,
                "title": f"Dice {example.dice:.3f}, rank {example.rank} of {example.of}",
                "files": metrics.files[example.case],
            }
            for example in choose_examples(dice)
        ],
    }


def _confusion(metrics: CaseMetrics) -> list[dict[str, Any]] | None:
    """A row for each structure of the reference: what share of its voxels the masks call what."""
    if metrics.confusion is None or not metrics.rows:
        return None
    rows = []
    for name, counts in metrics.confusion.table().items():
        total = sum(counts.values())
        cells = [(other, voxels, voxels / total if total else 0.0) for other, voxels in counts.items()]
        rows.append({"name": name, "total": total, "cells": cells})
    return rows


def _segmented(
    entries: Sequence[Mapping[str, Any]], labels: Mapping[int, str], open_image: OpenImage, tried: Callable[..., Any]
) -> Content:
    """Of a segmentation: volumes, and the first cases, those that are in doubt before the others."""
    cases, examples = [], []
    for number, entry in enumerate(entries, 1):
        name = Path(entry["mask"] or entry["file"]).name.removesuffix("_seg.nii.gz")
        volumes = tried(name, lambda mask=entry["mask"]: _volumes(mask, labels, open_image)) if entry["mask"] else None
        values = [entry["status"], *(volumes or [None] * len(labels))]
        cases.append({"number": number, "name": name, "values": values})
        if entry["mask"]:
            files = {"image": str(entry["file"]), "mask": str(entry["mask"])}
            kind = "in doubt" if entry["rule"] else ""
            examples.append({"number": number, "name": name, "kind": kind, "title": entry["reason"] or "", "files": files})
    examples.sort(key=lambda example: not example["kind"])
    return {
        "kind": "segmentation",
        "summary": None,
        "measures": {},
        "plots": [],
        "class_names": list(labels.values()),
        "cases": cases,
        "columns": ["Status", *(f"{name} (ml)" for name in labels.values())],
        "rows": [],
        "row_columns": [],
        "confusion": None,
        "examples": examples[:SHOWN],
    }


def _volumes(mask: str, labels: Mapping[int, str], open_image: OpenImage) -> list[float]:
    """In ml, by the voxel size of the header."""
    image = open_image(mask)
    values, counts = np.unique(image.read(), return_counts=True)
    voxel = abs(float(np.linalg.det(image.affine[:3, :3]))) / MILLILITRE
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return [found.get(float(value), 0) * voxel for value in labels]


def drawn_case(
    files: Mapping[str, str],
    colours: Mapping[int, tuple[float, float, float]],
    open_image: OpenImage,
    open_reference: OpenImage | None,
    spacing_known: bool,
) -> tuple[dict[str, Any], str]:
    """The sprites of a case, coarse enough to fit, and its montage."""
    voxels = MOST_VOXELS
    while True:
        case = show_case(files, list(colours), open_image, open_reference, voxels, spacing_known)
        sprites = sprites_of(case)
        if size_of(sprites) <= LARGEST_CASE or voxels < 1000:
            return sprites, montage_of(case, sprites["start"], list(colours.values()))
        voxels = int(min(voxels, case.layers[0].voxels.size) * 0.9 * LARGEST_CASE / size_of(sprites))


def _table(path: Path) -> dict[str, list[Any]] | None:
    """The lines of a CSV file, numbers as such."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = list(csv.reader(file))
    shown = [number for number, name in enumerate(header) if name not in PATHS]
    return {
        "header": [header[number] for number in shown],
        "rows": [[_as_number(row[number]) for number in shown] for row in rows],
    }


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _settings(path: Path) -> str | None:
    """What the checkpoint says of its preset and its network."""
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=2) if path.is_file() else None


def _css(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
