"""quality.csv: a row for each case and structure, as the calibration says; who is to be looked at; what becomes of old rows."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.basics.voxel_sample import VoxelSample
from scripts.evaluation import CaseQuality

LABELS = {"0": "background", "3": "liver", "7": "tumour"}
STRUCTURES = {"liver": [1], "tumour": [2]}
AS_THEY_ARE = {"probabilities": [0.0, 1.0], "shares": [0.0, 1.0]}
CALIBRATION = {
    "structures": [
        {
            "recalibration": AS_THEY_ARE,
            "dice": {"slope": 0.9, "intercept": 0.05, "radius": 0.02},
            "volume": {"log_ratio": 0.1, "radius": 0.2},
            "always_there": True,
        },
        {
            "recalibration": {"probabilities": [0.0, 1.0], "shares": [0.0, 0.5]},
            "dice": {"slope": 1.0, "intercept": 0.0, "radius": None},
            "volume": {"log_ratio": 0.0, "radius": None},
            "always_there": False,
        },
    ]
}


class Report:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def doubted(self, rule: str, found: str, file: str) -> None:
        self.said.append((file, found))


def case(folder: Path, name: str, tumour: bool = True) -> dict[str, Any]:
    """A mask whose first half is liver, at a probability of 0.88, and whose last voxels are tumour, at 0.99."""
    pred = torch.zeros(1, 4, 5, 6)
    pred[:, :2] = 3
    if tumour:
        pred[:, 3] = 7
    logits = torch.zeros(120, 3)
    logits[:60, 1], logits[90:, 2] = np.log(2 * 0.88 / 0.12), np.log(2 * 99)
    logits[60:90, 1:] = -30
    path = folder / f"{name}_seg.nii.gz"
    path.touch()
    return {
        "image": MetaTensor(pred, meta={"filename_or_obj": f"{name}.nii.gz"}),
        "pred": MetaTensor(pred, affine=torch.diag(torch.tensor([1.0, 2.0, 5.0, 1.0]))),
        "voxels": VoxelSample(torch.arange(120), logits, torch.ones(120)),
        "name": f"{name}_seg",
        "mask": str(path),
    }


def quality(folder: Path, calibration: Any = CALIBRATION, **options: Any) -> CaseQuality:
    made = CaseQuality(folder, LABELS, STRUCTURES, regions=False, calibration=calibration, **options)
    made.open()
    return made


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "quality.csv").read_text().splitlines()))


def test_the_numbers_are_those_by_hand(tmp_path: Path) -> None:
    quality(tmp_path).add(case(tmp_path, "a"))
    liver, tumour = rows(tmp_path)
    others = 30 * 0.5 * 0.01  # of the tumour's voxels
    expected = 2 * 60 * 0.88 / (60 + 60 * 0.88 + others)
    dice = 0.05 + 0.9 * expected
    assert [float(liver[key]) for key in ("predicted_dice", "predicted_dice_low", "predicted_dice_high")] == pytest.approx(
        [dice, dice - 0.02, dice + 0.02], abs=1e-4
    )
    volume = (60 * 0.88 + others) * 0.01 * np.exp(0.1)
    assert [float(liver[key]) for key in ("volume_ml", "volume_ml_low", "volume_ml_high")] == pytest.approx(
        [0.6, volume * np.exp(-0.2), volume * np.exp(0.2)], rel=1e-3
    )
    assert float(liver["mean_confidence"]) == pytest.approx(0.88, abs=1e-4)
    assert float(tumour["mean_confidence"]) == pytest.approx(0.495, abs=1e-4)  # recalibrated
    assert (tumour["predicted_dice_low"], tumour["predicted_dice_high"]) == ("0", "1")
    assert (tumour["volume_ml_low"], tumour["volume_ml_high"]) == ("0", "")  # too few cases to know
    assert (liver["case"], liver["structure"], liver["file"], liver["flagged"]) == ("a", "liver", "a.nii.gz", "")


def test_without_known_spacing_there_are_no_millilitres(tmp_path: Path) -> None:
    quality(tmp_path, spacing_known=False).add(case(tmp_path, "a"))
    assert {row[f"volume_ml{end}"] for row in rows(tmp_path) for end in ("", "_low", "_high")} == {""}


def test_what_is_below_is_flagged_in_table_and_report_also_of_masks_that_were_there(tmp_path: Path) -> None:
    quality(tmp_path).add(case(tmp_path, "a"))
    again = quality(tmp_path, flag_below=0.8)
    again.add(case(tmp_path, "b", tumour=False))
    report = Report()
    again.finish(report)
    assert [(row["case"], row["structure"], row["flagged"]) for row in rows(tmp_path)] == [
        ("a", "liver", ""),
        ("a", "tumour", "yes"),
        ("b", "liver", ""),
        ("b", "tumour", ""),  # whether it is there nobody knows
    ]
    ((file, found),) = report.said
    assert file == "a.nii.gz"
    assert found.startswith("the predicted Dice is below 0.8: tumour 0.6")
    quality(tmp_path).finish(Report())
    assert {row["flagged"] for row in rows(tmp_path)} == {""}


def test_an_empty_mask_of_what_is_always_there_is_flagged(tmp_path: Path) -> None:
    judged = quality(tmp_path, flag_below=0.1)
    empty = case(tmp_path, "a")
    empty["pred"][empty["pred"] == 3] = 0
    judged.add(empty)
    judged.finish(Report())
    assert [row["flagged"] for row in rows(tmp_path)] == ["yes", ""]


def test_rows_go_with_their_masks_and_with_their_calibration(tmp_path: Path) -> None:
    judged = quality(tmp_path)
    for name in "abc":
        judged.add(case(tmp_path, name))
    (tmp_path / "b_seg.nii.gz").unlink()
    uncalibrated = quality(tmp_path, calibration=None)
    uncalibrated.add(case(tmp_path, "a"))
    uncalibrated.finish(Report())
    assert [row["case"] for row in rows(tmp_path)] == ["c", "c"]


def test_nothing_is_written_without_a_calibration_and_nothing_of_others_is_overwritten(tmp_path: Path) -> None:
    judged = quality(tmp_path, calibration=None)
    judged.add({key: value for key, value in case(tmp_path, "a").items() if key != "voxels"})
    judged.finish(Report())
    assert not (tmp_path / "quality.csv").exists()
    (tmp_path / "quality.csv").write_text("case,mine\n")
    with pytest.raises(FileExistsError, match="was not written by this bundle"):
        quality(tmp_path)
