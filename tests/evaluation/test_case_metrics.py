"""Case after case -> tables whose means count what there is, and a picture."""

import csv
import json
import logging
from pathlib import Path
from statistics import fmean
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import EnsureChannelFirst, LoadImage

from scripts.data import open_image
from scripts.evaluation import CaseMetrics

LABELS = {"0": "background", "1": "liver", "2": "kidney"}
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
NOTHING = np.zeros((12, 12, 6), np.uint8)


def organs(**corners: int) -> np.ndarray:
    """Cubes of 4 x 4 x 3 voxels, the organ's corner at `corner` along the last axis and the first."""
    label = NOTHING.copy()
    for value, name in ((1, "liver"), (2, "kidney")):
        if name in corners:
            first = 6 * (value - 1) + 1
            label[first : first + 4, 4:8, corners[name] : corners[name] + 3] = value
    return label


def output(folder: Path, case: str, mask: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """What the evaluator hands over for one case."""
    read = {}
    image = np.random.default_rng(0).random(mask.shape, np.float32)
    for key, voxels in (("image", image), ("pred", mask), ("reference", reference)):
        nib.save(nib.Nifti1Image(voxels, AFFINE), folder / f"{case}_{key}.nii")
        read[key] = EnsureChannelFirst()(LoadImage(reader="NibabelReader")(folder / f"{case}_{key}.nii"))
    return {**read, "name": f"{case}_seg", "mask": str(folder / f"{case}_pred.nii")}


def measured(folder: Path, cases: list[tuple[np.ndarray, np.ndarray]], **options: Any) -> tuple[list[dict], dict[str, Any]]:
    """metrics.csv and metrics.json of these masks and references."""
    options = {"nsd_tolerance": 1.0, "nsd_unit": "mm"} | options
    metrics = CaseMetrics(folder / "out", LABELS, open_image, **options)
    for i, (mask, reference) in enumerate(cases):
        metrics.add(output(folder, f"case {i}", mask, reference))
    metrics.finish()
    with (folder / "out" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((folder / "out" / "metrics.json").read_text())


PERFECT = (organs(liver=1, kidney=1), organs(liver=1, kidney=1))
SHIFTED = (organs(liver=2, kidney=1), organs(liver=1, kidney=1))  # the liver by one slice
MISSED = (organs(kidney=1), organs(liver=1, kidney=1))
ABSENT = (organs(kidney=1), organs(kidney=1))


def test_the_table_has_a_row_for_every_case_and_class(tmp_path: Path) -> None:
    rows, _ = measured(tmp_path, [PERFECT, SHIFTED])
    assert [(row["case"], row["class"]) for row in rows] == [
        (f"case {i}", name) for i in range(2) for name in ("liver", "kidney")
    ]
    shifted = rows[2]
    assert {key: float(shifted[key]) for key in ("dice", "hd95_mm", "hd95_voxels")} == {
        "dice": pytest.approx(2 / 3, rel=1e-5),
        "hd95_mm": 3,
        "hd95_voxels": 1,
    }
    assert (shifted["voxels"], shifted["voxels_reference"]) == ("48", "48")


def test_the_means_are_those_of_the_table(tmp_path: Path) -> None:
    rows, summary = measured(tmp_path, [PERFECT, SHIFTED, SHIFTED, MISSED])
    assert summary["cases"] == 4
    for name in ("liver", "kidney"):
        for measure in ("dice", "hd95_mm", "hd95_voxels", "assd_mm", "assd_voxels", "nsd", "volume_error_ml"):
            values = [float(row[measure]) for row in rows if row["class"] == name and row[measure]]
            assert summary["classes"][name][measure]["mean"] == pytest.approx(fmean(values), rel=1e-5)
            assert summary["classes"][name][measure]["cases"] == len(values)
    assert summary["classes"]["liver"]["dice"]["median"] == pytest.approx(2 / 3)
    assert summary["mean_dice"] == pytest.approx(fmean([(1 + 2 / 3 + 2 / 3 + 0) / 4, 1]))
    assert (summary["nsd_tolerance"], summary["nsd_unit"]) == (1.0, "mm")


def test_an_absent_class_is_excluded_and_counted(tmp_path: Path) -> None:
    rows, summary = measured(tmp_path, [ABSENT, SHIFTED, ABSENT])
    liver = summary["classes"]["liver"]
    assert (liver["absent_and_excluded"], liver["hd95_missing"], liver["dice"]["cases"]) == (2, 0, 1)
    assert liver["dice"]["mean"] == pytest.approx(2 / 3)
    assert [row["dice"] for row in rows if row["class"] == "liver"][::2] == ["", ""]


def test_a_missing_distance_is_counted_and_never_zero(tmp_path: Path) -> None:
    rows, summary = measured(tmp_path, [MISSED, SHIFTED])
    liver = summary["classes"]["liver"]
    assert (liver["absent_and_excluded"], liver["hd95_missing"]) == (0, 1)
    assert (liver["hd95_mm"]["mean"], liver["hd95_mm"]["cases"]) == (3, 1)
    assert liver["dice"]["mean"] == pytest.approx(1 / 3)
    assert (rows[0]["hd95_mm"], rows[0]["hd95_voxels"], rows[0]["dice"]) == ("", "", "0")


def test_nothing_is_given_in_mm_when_the_spacing_means_nothing(tmp_path: Path) -> None:
    rows, summary = measured(tmp_path, [SHIFTED], nsd_unit="voxel", spacing_known=False)
    assert [row["hd95_mm"] for row in rows] == ["", ""]
    assert rows[0]["hd95_voxels"] == "1"
    assert summary["classes"]["liver"]["hd95_mm"] == {"mean": None, "interval": None, "median": None, "cases": 0}
    in_mm = [name for name in rows[0] if name.endswith(("_mm", "_ml"))]
    assert {row[name] for row in rows for name in in_mm} == {""}
    assert float(rows[0]["assd_voxels"]) > 0


def test_a_run_in_which_no_class_exists_ends_with_its_tables(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _, summary = measured(tmp_path, [(NOTHING, NOTHING)])
    assert summary["mean_dice"] is None
    assert summary["classes"]["liver"]["absent_and_excluded"] == 1


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    case = output(tmp_path, "case", *PERFECT)
    case["pred"] = case["pred"][:, 1:]
    with pytest.raises(ValueError, match="shape"):
        CaseMetrics(tmp_path, LABELS, open_image, 1.0, "mm").add(case)


def test_a_reference_on_another_grid_is_refused(tmp_path: Path) -> None:
    case = output(tmp_path, "case", *PERFECT)
    case["reference"].affine[0, 3] += 40  # mm, the same shape elsewhere
    with pytest.raises(ValueError, match="affine"):
        CaseMetrics(tmp_path, LABELS, open_image, 1.0, "mm").add(case)


@pytest.mark.parametrize("count", [1, 7])
def test_the_worst_and_the_best_case_are_in_the_picture(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, str]] = []
    monkeypatch.setattr("scripts.evaluation.case_metrics.draw_overlays", lambda cases, *_: drawn.extend(cases))
    measured(tmp_path, [PERFECT, SHIFTED, SHIFTED, MISSED, SHIFTED, SHIFTED, PERFECT][:count])
    assert len(drawn) == min(count, 6) == len({case["image"] for case in drawn})
    assert any("Dice 1.000" in case["title"] for case in drawn)
    assert count == 1 or any(case["title"].startswith("case 3\nDice 0.500") for case in drawn)


def test_the_picture_lies_beside_the_tables(tmp_path: Path) -> None:
    measured(tmp_path, [SHIFTED])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "confusion.csv",
        "metrics.csv",
        "metrics.json",
        "overlays.png",
    ]


def test_what_the_mask_says_where_the_reference_is_to_be_ignored_changes_no_figure(tmp_path: Path) -> None:
    mask, reference = SHIFTED
    reference, other = reference.copy(), mask.copy()
    reference[..., 4:] = 9
    reference[8:, :3] = 200
    other[(reference == 9) | (reference == 200)] = 2
    found = []
    for name, one in (("one", mask), ("other", other)):
        (tmp_path / name).mkdir()
        rows, means = measured(tmp_path / name, [(one, reference)], ignore_label=[9, 200])
        found.append((rows, means))
    assert found[0] == found[1]
    (liver, kidney), labelled = found[0][0], (reference != 9) & (reference != 200)
    assert [int(row["voxels_reference"]) for row in (liver, kidney)] == [int((reference == k).sum()) for k in (1, 2)]
    assert int(liver["voxels"]) == int(((mask == 1) & labelled).sum())
    assert 0 < float(liver["dice"]) < 1


def test_volumes_are_in_millilitres_and_the_error_is_signed(tmp_path: Path) -> None:
    rows, summary = measured(tmp_path, [MISSED, (organs(liver=1), ABSENT[1])])
    volume = 48 * 3 / 1000  # voxels of 3 mm³
    shown = [[float(row[f"volume_{name}ml"] or "nan") for name in ("", "reference_", "error_")] for row in rows]
    assert shown == [
        pytest.approx(line) for line in ([0, volume, -volume], [volume, volume, 0], [volume, 0, volume], [0, volume, -volume])
    ]
    assert summary["classes"]["liver"]["volume_error_ml"]["mean"] == pytest.approx(0, abs=1e-9)


def test_components_are_summed_over_all_cases_also_those_without_any(tmp_path: Path) -> None:
    elsewhere = organs(liver=1)[:, ::-1].copy()
    elsewhere[:, 4:8] = 0
    elsewhere[0, 0, 0] = 1  # one voxel of liver where there is none
    _, summary = measured(tmp_path, [PERFECT, MISSED, (elsewhere, NOTHING), ABSENT])
    assert summary["classes"]["liver"]["detection"] == {
        "reference": 2,
        "found": 1,
        "false_positives": 1,
        "sensitivity": 0.5,
        "false_positives_per_case": 0.25,
        "cases": 4,
    }
    _, summary = measured(tmp_path, [(NOTHING, NOTHING)])
    assert summary["classes"]["liver"]["detection"]["sensitivity"] is None
    assert summary["classes"]["liver"]["detection"]["false_positives_per_case"] == 0


def test_confusion_counts_what_masks_call_each_structure_and_regions_have_none(tmp_path: Path) -> None:
    swapped = organs(liver=1)
    swapped[swapped == 1] = 2
    _, summary = measured(tmp_path, [(swapped, organs(liver=1)), SHIFTED])
    expected = {
        "background": {"background": 2 * NOTHING.size - 48 - 48 - 48 - 16, "liver": 16, "kidney": 0},
        "liver": {"background": 16, "liver": 32, "kidney": 48},
        "kidney": {"background": 0, "liver": 0, "kidney": 48},
    }
    assert summary["confusion"] == expected
    with (tmp_path / "out" / "confusion.csv").open(newline="") as file:
        rows = {row.pop("reference"): {name: int(count) for name, count in row.items()} for row in csv.DictReader(file)}
    assert rows == expected
    (tmp_path / "regions").mkdir()
    _, summary = measured(tmp_path / "regions", [SHIFTED], regions={"organs": [1, 2]})
    assert "confusion" not in summary
    assert not (tmp_path / "regions" / "out" / "confusion.csv").exists()


def test_what_nobody_annotated_has_a_size_in_the_mask_and_nothing_else(tmp_path: Path) -> None:
    metrics = CaseMetrics(tmp_path / "out", LABELS, open_image, nsd_tolerance=1.0, nsd_unit="mm")
    metrics.add({**output(tmp_path, "case", *PERFECT), "annotated": ["liver"]})
    summary = metrics.summary()
    [kidney] = [row for row in metrics.rows if row["class"] == "kidney"]
    known = {name: value for name, value in kidney.items() if value is not None}
    assert known == {"case": "case", "class": "kidney", "voxels": 48, "volume_ml": pytest.approx(0.144)}
    assert summary["classes"]["kidney"]["detection"]["cases"] == 0
    assert summary["classes"]["kidney"]["detection"]["false_positives_per_case"] is None
    assert set(summary["confusion"]["background"].values()) == {0}
    assert summary["confusion"]["liver"]["liver"] == 48


def test_intervals_stand_beside_means_in_the_summary_and_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _, summary = measured(tmp_path, [PERFECT, SHIFTED, SHIFTED, MISSED])
    low, high = summary["classes"]["liver"]["dice"]["interval"]
    assert low < summary["classes"]["liver"]["dice"]["mean"] < high
    assert summary["classes"]["kidney"]["dice"]["interval"] is None  # all are 1
    low, high = summary["mean_dice_interval"]
    assert low < summary["mean_dice"] < high
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("case_metrics")]
    assert f"mean Dice {summary['mean_dice']:.4f} [{low:.4f}, {high:.4f}] over 4 cases" in lines[2]
    assert lines[1].startswith("kidney: dice 1 [no interval], ")
    assert "3 of 4 components found" in lines[0]
    assert "fewer than 3 cases" in lines[3]


def test_a_table_of_confusion_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "confusion.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"confusion\.csv"):
        CaseMetrics(tmp_path, LABELS, open_image, 1.0, "mm").clear()
    measured(tmp_path, [PERFECT])
    CaseMetrics(tmp_path / "out", LABELS, open_image, 1.0, "mm").clear()
    assert not list((tmp_path / "out").iterdir())
