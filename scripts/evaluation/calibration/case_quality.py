"""Masks of a calibrated network -> quality.csv: how far each can be trusted, and which cases a person should look at."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ...basics.geometry import spacing_of
from ...basics.voxel_sample import VoxelSample
from ...files.atomic_write import atomic_write
from ...files.own_file import refuse_foreign
from ..segmentation_metrics import MILLILITRE
from .expected_dice import expected_voxels, mean_confidence
from .sampled_case import members
from .structure_calibration import StructureCalibration, recalibrated
from .temperature import probabilities
from .told_dice import EXPECTED, Judgement, members_of, told_dice

COLUMNS = (
    *("case", "structure", "predicted_dice", "predicted_dice_low", "predicted_dice_high"),
    *("volume_ml", "volume_ml_low", "volume_ml_high", "mean_confidence", "member_dice", "flagged", "file", "mask"),
)
NUMBERS = COLUMNS[2:10]
BEGINNING = ",".join(COLUMNS[:2])  # of a table by any version of the bundle
ENCODING: Any = {"encoding": "utf-8", "errors": "surrogateescape"}  # names of files may be any bytes
RULE = "a mask should be as good as --flag-below says"


class Report(Protocol):
    def doubted(self, rule: str, found: str, file: str) -> None: ...


class CaseQuality:
    """`output_dir`/quality.csv, a row for each case and structure, by a checkpoint's `calibration`; without one nothing.

    The rows of masks that an earlier run of the folder made stay as long as the masks do.

    Args:
        output_dir: of the table.
        labels: label value -> name, the background first.
        structures: name -> class numbers, see `data.structures`.
        regions: whether each structure is a channel of the network by itself.
        calibration: what `sam3d calibrate` writes into a checkpoint.
        spacing_known: False if the headers' spacing means nothing; volumes are then left blank.
        flag_below: a case of which a structure's predicted Dice is lower is flagged; None: none is.
        temperature: by which the logits were divided, one or one for each channel.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.basics.voxel_sample import VoxelSample
        >>> from scripts.evaluation import CaseQuality
        >>> dice, volume = {"slope": 1.0, "intercept": 0.0, "radius": 0.05}, {"log_ratio": 0.0, "radius": 0.1}
        >>> as_it_is = {"probabilities": [0.0, 1.0], "shares": [0.0, 1.0]}
        >>> liver = {"recalibration": as_it_is, "dice": dice, "volume": volume, "always_there": True}
        >>> calibration = {"structures": [liver]}
        >>> mask = MetaTensor(torch.zeros(1, 10, 10, 10), meta={"filename_or_obj": "scan.nii.gz"})
        >>> mask[:, :5] = 1
        >>> logits = torch.stack([0 * mask.flatten(), 4 * mask.flatten() - 2], 1)
        >>> voxels = VoxelSample(torch.arange(1000), logits, torch.ones(1000))
        >>> case = {"image": mask, "pred": mask, "voxels": voxels, "name": "scan_seg", "mask": "scan_seg.nii.gz"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     quality = CaseQuality(folder, {"0": "background", "1": "liver"}, {"liver": [1]}, False, calibration)
        ...     quality.add(case)
        >>> [quality.rows["scan"][0][key] for key in ("predicted_dice", "volume_ml")]
        ['0.8808', '0.5']
    """

    def __init__(
        self,
        output_dir: str | Path,
        labels: Mapping[str, str],
        structures: Mapping[str, Sequence[int]],
        regions: bool,
        calibration: Mapping[str, Any] | None,
        spacing_known: bool = True,
        flag_below: float | None = None,
        temperature: float | Sequence[float] = 1.0,
    ) -> None:
        self.path = Path(output_dir) / "quality.csv"
        self.values = torch.tensor([int(value) for value in labels])
        self.structures = structures
        self.regions = regions
        self.calibrations = None if calibration is None else [*map(StructureCalibration.of, calibration["structures"])]
        self.told_by = (calibration or {}).get("told_by", [EXPECTED])  # as it was before others were known
        self.spacing_known = spacing_known
        self.flag_below = flag_below
        self.temperature = np.array(temperature, float)
        self.rows: dict[str, list[dict[str, str]]] = {}

    def open(self) -> None:
        """Reads the rows of earlier runs. Raises FileExistsError for a quality.csv that this bundle did not write."""
        refuse_foreign(self.path, lambda path: path.read_text(encoding="utf-8").startswith(BEGINNING))
        if self.path.exists():
            with self.path.open(newline="", **ENCODING) as file:
                for row in csv.DictReader(file):
                    self.rows.setdefault(row["case"], []).append({name: row.get(name) or "" for name in COLUMNS})

    def add(self, output: Mapping[str, Any]) -> None:
        """Judges one mask, whose rows are written before anything counts it as done.

        Args:
            output: with `voxels`, and the mask as `pred` (1, H, W, D) of label values.
        """
        name = str(output["name"]).removesuffix("_seg")  # its mask's
        before = self.rows.pop(name, None)
        if self.calibrations is not None:
            self.rows[name] = self._judged(name, output)
        if self.calibrations is not None or before is not None:
            self._save()

    def finish(self, report: Report) -> None:
        """Flags cases, in the table and in the report, and forgets those whose masks are gone."""
        self.rows = {name: rows for name, rows in self.rows.items() if Path(rows[0]["mask"]).is_file()}
        for rows in self.rows.values():
            low = [row for row in rows if self._is_low(row)]
            for row in rows:
                row["flagged"] = "yes" if row in low else ""
            if low:
                dice = ", ".join(f"{row['structure']} {row['predicted_dice']}" for row in low)
                found = f"the predicted Dice is below {self.flag_below:g}: {dice}; look at this case"
                report.doubted(RULE, found, rows[0]["file"])
        if self.rows or self.path.exists():
            self._save()

    def _is_low(self, row: Mapping[str, str]) -> bool:
        return self.flag_below is not None and row["predicted_dice"] != "" and float(row["predicted_dice"]) < self.flag_below

    def _judged(self, name: str, output: Mapping[str, Any]) -> list[dict[str, str]]:
        voxels: VoxelSample = output["voxels"]
        mask = output["pred"].as_subclass(torch.Tensor).cpu()
        numbers = torch.searchsorted(self.values, mask.long()).numpy()  # label values, which rise -> class numbers
        sampled = numbers.ravel()[voxels.places.numpy()]
        weights, logits = map(_as_array, (voxels.weights, voxels.logits))
        structures = [*self.structures.values()]
        chances = probabilities(logits, structures, self.regions)
        likely = recalibrated(chances, [one.recalibration for one in self.calibrations or ()])
        inside = members(sampled, structures)
        apart = None if voxels.disagreement is None else _as_array(voxels.disagreement)
        found = Judgement(likely, logits * self.temperature, inside, weights, apart)
        told, agreed = told_dice(self.told_by, found, structures, self.regions), members_of(found, structures, self.regions)
        volume, confidence = expected_voxels(likely, weights), mean_confidence(likely, inside, weights)
        ml = math.prod(spacing_of(output["pred"].affine)) / MILLILITRE if self.spacing_known else math.nan
        files = {"file": str(output["image"].meta["filename_or_obj"]), "mask": str(output["mask"])}
        rows = []
        for of_structure, calibration, dice, size, sure, same in zip(
            self.structures.items(), self.calibrations or (), told, volume * ml, confidence, agreed, strict=True
        ):
            voxels_of_mask = int(np.isin(numbers, list(of_structure[1])).sum())
            numbers_shown = [*calibration.judged(dice), voxels_of_mask * ml, *calibration.volume.interval(size), sure, same]
            shown = dict(zip(NUMBERS, map(_shown, numbers_shown), strict=True))
            rows.append({"case": name, "structure": of_structure[0], **shown, "flagged": "", **files})
        return rows

    def _save(self) -> None:
        with atomic_write(self.path) as temporary, temporary.open("w", newline="", **ENCODING) as file:
            writer = csv.DictWriter(file, fieldnames=COLUMNS)
            writer.writeheader()
            writer.writerows(row for rows in self.rows.values() for row in rows)


def _as_array(values: torch.Tensor) -> np.ndarray:
    return values.double().numpy()


def _shown(value: float) -> str:
    """Nothing where it is not known."""
    return f"{value:.4g}" if math.isfinite(value) else ""
