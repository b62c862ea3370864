"""Metrics of case after case -> metrics.csv (every case and class), metrics.json (means), confusion.csv, the log."""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from ..basics.geometry import spacing_of
from ..files.atomic_write import atomic_write, write_json
from ..files.own_file import refuse_foreign
from .case_interval import FEWEST_CASES, METHOD, case_interval
from .confusion import Confusion
from .examples import choose_examples
from .overlays import draw_overlays
from .ras_volume import OpenImage
from .segmentation_metrics import segmentation_metrics

logger = logging.getLogger(__name__)

AFFINE_TOLERANCE = 1e-3  # mm: headers hold single precision
FILES = ("metrics.csv", "metrics.json", "confusion.csv", "overlays.png")
MEANS = {"cases", "mean_dice", "classes"}  # what is in the second
MEASURES = ("dice", "hd95_mm", "hd95_voxels", "assd_mm", "assd_voxels", "nsd", "volume_error_ml")
SIZES = ("voxels", "volume_ml")  # of the mask: known without a reference


class CaseMetrics:
    """Compares `pred` with `reference` in the file's own space, class by class, or region by region.

    Args:
        output_dir: of the tables and the picture.
        labels: label value -> name; the first is background and not measured, but in the table of confusion.
        open_image: reads the files again, for the picture.
        nsd_tolerance: see `segmentation_metrics`.
        nsd_unit: see `segmentation_metrics`.
        spacing_known: False if the headers' spacing means nothing; what would be in mm is then left blank.
        ignore_label: values of the reference where nothing is measured: mask and reference both count as background there.
        open_reference: reads references, with the values that masks have; None: as `open_image` does.
        regions: name -> label values; if there are any, these are measured instead of the labels one by one. They
            may overlap, so there is no table of confusion.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import open_image
        >>> from scripts.evaluation import CaseMetrics
        >>> reference = torch.zeros(1, 8, 8, 4)
        >>> reference[:, 2:6, 2:6] = 1
        >>> read = {key: MetaTensor(reference, meta={"filename_or_obj": f"{key}.nii.gz"}) for key in ("image", "reference")}
        >>> labels = {"0": "background", "1": "liver"}
        >>> metrics = CaseMetrics("evaluation", labels, open_image, nsd_tolerance=1.0, nsd_unit="mm")
        >>> metrics.add({**read, "pred": read["reference"], "name": "scan_seg", "mask": "scan_seg.nii.gz"})
        >>> metrics.summary()["mean_dice"]
        1.0
    """

    def __init__(
        self,
        output_dir: str | Path,
        labels: Mapping[str, str],
        open_image: OpenImage,
        nsd_tolerance: float,
        nsd_unit: str,
        spacing_known: bool = True,
        ignore_label: Sequence[int] = (),
        open_reference: OpenImage | None = None,
        regions: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        self.folder = Path(output_dir)
        self.labels = {int(value): name for value, name in labels.items() if int(value) > 0}
        self.confusion = None if regions else Confusion({int(value): name for value, name in labels.items()})
        self.structures = dict(regions) or {name: [value] for value, name in self.labels.items()}
        self.open_image = open_image
        self.open_reference = open_reference
        self.nsd = {"nsd_tolerance": nsd_tolerance, "nsd_unit": nsd_unit}
        self.spacing_known = spacing_known
        self.ignore_label = list(ignore_label)
        self.rows: list[dict[str, Any]] = []
        self.files: dict[str, dict[str, str]] = {}

    def clear(self) -> None:
        """Removes the tables and the picture of an earlier evaluation, so that they never stand beside a run that fails.

        Raises FileExistsError, before anything is removed, when one of them is somebody else's.
        """
        refuse_foreign_tables(self.folder)
        table, means, confusion, picture = (self.folder / name for name in FILES)
        for path in (picture, confusion, means, table):
            path.unlink(missing_ok=True)

    def add(self, output: Mapping[str, Any]) -> None:
        """Measures one case.

        Args:
            output: with `pred` and `reference` (1, H, W, D) on one grid, `mask` and the files they came from; `image`, which
                only the picture needs, may be missing. Where only some classes of the reference are `annotated`, the others are
                not measured.

        Raises:
            ValueError: if mask and reference lie on different grids.
        """
        mask, reference = output["pred"], output["reference"]
        if mask.shape != reference.shape:
            raise ValueError(f"the mask's shape {tuple(mask.shape)} differs from the reference's {tuple(reference.shape)}")
        difference = float((mask.affine - reference.affine).abs().max())
        if not difference <= AFFINE_TOLERANCE:
            raise ValueError(f"mask and reference lie on different grids: their affines differ by up to {difference:g}")
        case = str(output["name"]).removesuffix("_seg")  # its mask's name
        self.files[case] = {"reference": str(reference.meta["filename_or_obj"]), "mask": str(output["mask"])}
        if "image" in output:
            self.files[case]["image"] = str(output["image"].meta["filename_or_obj"])
        spacing = spacing_of(reference.affine).tolist() if self.spacing_known else None
        found, expected = mask[0].as_tensor(), reference[0].as_tensor()
        ignored = torch.isin(expected, torch.tensor(self.ignore_label, dtype=expected.dtype, device=expected.device))
        found, expected = found.masked_fill(ignored, 0), expected.masked_fill(ignored, 0)
        annotated = output.get("annotated", list(self.labels.values()))
        if self.confusion:
            self.confusion.add(found, expected, ~ignored, set(self.labels.values()) - set(annotated))
        for name, values in self.structures.items():
            mask_of, reference_of = (torch.isin(side, torch.tensor(values).to(side)) for side in (found, expected))
            metrics = segmentation_metrics(mask_of, reference_of, True, spacing, **self.nsd)
            if any(self.labels[value] not in annotated for value in values):
                metrics = dict.fromkeys(metrics) | {size: metrics[size] for size in SIZES}
            self.rows.append({"case": case, "class": name, **metrics})

    def finish(self, **more: Any) -> None:
        """Writes the tables and, of the best, the median and the worst cases, `overlays.png`.

        Args:
            more: of whoever has measured, for metrics.json.
        """
        if not self.rows:
            return
        table, means, confusion, picture = (self.folder / name for name in FILES)
        write_rows(table, self.rows)
        summary = self.summary()
        write_json(means, {**summary, **more})
        if self.confusion:
            with atomic_write(confusion) as temporary, temporary.open("w", newline="") as file:
                rows = self.confusion.table()
                csv.writer(file).writerows([["reference", *rows], *([name, *row.values()] for name, row in rows.items())])
        self._log(summary)
        draw_overlays(self._examples(), self.labels, picture, self.open_image, self.open_reference)

    def _log(self, summary: Mapping[str, Any]) -> None:
        """A line for each class, and one for all."""
        for name, values in summary["classes"].items():
            shown = [f"{key} {_shown(values[key])}" for key in MEASURES if values[key]["mean"] is not None]
            found = values["detection"]
            if found["sensitivity"] is not None:
                shown.append(f"{found['found']} of {found['reference']} components found")
            if found["false_positives_per_case"] is not None:
                shown.append(f"{found['false_positives_per_case']:.4g} false positives a case")
            unknown = f"; not annotated in {values['not_annotated']} cases" if values["not_annotated"] else ""
            logger.info("%s: %s%s", name, ", ".join(shown), unknown)
        mean = _shown({"mean": summary["mean_dice"], "interval": summary["mean_dice_interval"]}, ".4f")
        logger.info("mean Dice %s over %d cases; %s", mean, summary["cases"], self.folder)
        logger.info("in brackets: %s", summary["intervals"])

    def summary(self) -> dict[str, Any]:
        """Per class and measure: mean, its interval over the cases (see `case_interval`), median, and how many cases count; per
        class, what was detected, in how many cases it was on no side (excluded), and in how many nobody annotated it; the
        voxels of each class by what the masks call them."""
        return {
            **means_of(self.rows, list(self.structures)),
            **({"confusion": self.confusion.table()} if self.confusion else {}),
            **self.nsd,
        }

    def mean_dice_of(self) -> dict[str, float]:
        """Of each case that shows a class, over these."""
        dice: dict[str, list[float]] = {}
        for row in self.rows:
            if row["dice"] is not None:
                dice.setdefault(row["case"], []).append(row["dice"])
        return {case: fmean(values) for case, values in dice.items()}

    def _examples(self) -> list[dict[str, str]]:
        """The files and the mean Dice of the cases in the picture."""
        dice = {case: value for case, value in self.mean_dice_of().items() if "image" in self.files[case]}
        chosen = choose_examples(dice)
        return [self.files[example.case] | {"title": f"{example.case}\nDice {example.dice:.3f}"} for example in chosen]


def refuse_foreign_tables(folder: Path) -> None:
    """Raises FileExistsError when a file of an evaluation's name in `folder` is somebody else's."""
    table, means, confusion, picture = (folder / name for name in FILES)
    refuse_foreign(table, lambda path: path.read_bytes().startswith(b"case,class,dice,"))
    refuse_foreign(means, lambda path: json.loads(path.read_text(encoding="utf-8")).keys() >= MEANS)
    refuse_foreign(confusion, lambda path: path.read_bytes().startswith(b"reference,"))
    refuse_foreign(picture, lambda _: means.exists())  # it is drawn after them


def write_rows(table: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One of each case and class, as CSV."""
    with atomic_write(table) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def means_of(rows: Sequence[Mapping[str, Any]], structures: Sequence[str]) -> dict[str, Any]:
    """rows: of case after case, each with the structures in this order."""
    classes: dict[str, Any] = {}
    for name in structures:
        of_class = [row for row in rows if row["class"] == name]
        classes[name] = {measure: _statistics([row[measure] for row in of_class]) for measure in MEASURES}
        classes[name]["detection"] = _detection([row for row in of_class if row["components_reference"] is not None])
        unknown = sum(row["voxels_reference"] is None for row in of_class)
        classes[name]["absent_and_excluded"] = sum(row["dice"] is None for row in of_class) - unknown
        classes[name]["not_annotated"] = unknown
        classes[name]["hd95_missing"] = sum(row["dice"] is not None and row["hd95_voxels"] is None for row in of_class)
    means = [c["dice"]["mean"] for c in classes.values() if c["dice"]["mean"] is not None]
    dice = np.array([row["dice"] for row in rows], dtype=float).reshape(-1, len(structures))  # NaN where it is missing
    return {
        "cases": len(dice),
        "mean_dice": fmean(means) if means else None,
        "mean_dice_interval": case_interval(dice),
        "intervals": f"{METHOD}; none for fewer than {FEWEST_CASES} cases, or if all are equal",
        "classes": classes,
    }


def _statistics(values: list[float | None]) -> dict[str, Any]:
    counted = [value for value in values if value is not None]
    return {
        "mean": fmean(counted) if counted else None,
        "interval": case_interval(np.array(counted, dtype=float)[:, None]),
        "median": median(counted) if counted else None,
        "cases": len(counted),
    }


def _detection(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """Over the cases where the structure is annotated, be it there or not: sensitivity is the share of all components found."""
    reference, found, false_positives = (
        sum(row[f"components_{name}"] for row in rows) for name in ("reference", "found", "false_positive")
    )
    return {
        "reference": reference,
        "found": found,
        "false_positives": false_positives,
        "sensitivity": found / reference if reference else None,
        "false_positives_per_case": false_positives / len(rows) if rows else None,
        "cases": len(rows),
    }


def _shown(values: Mapping[str, Any], form: str = ".4g") -> str:
    """A mean and its interval, in words where there is none."""
    if values["mean"] is None:
        return "undefined, no class is there"
    interval = values["interval"]
    return f"{values['mean']:{form}} [{', '.join(f'{bound:{form}}' for bound in interval) if interval else 'no interval'}]"
