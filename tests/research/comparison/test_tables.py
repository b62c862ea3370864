"""Rows -> tables whose numbers are those of the cases."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from markdown_tables import read_tables

from scripts.evaluation.case_metrics import means_of, write_rows
from scripts.files.checkpoint_file import write_checkpoint
from scripts.research.comparison import Budget, ComparedNetwork, Setting
from scripts.research.comparison.compare_cases import CaseValues, difference_interval, mean_interval
from scripts.research.comparison.result import MEASURES, NetworkResult, read_result
from scripts.research.comparison.tables import COSTS, write_tables
from scripts.research.comparison.tables import MEASURES as TITLES

CASES = tuple(f"case_{i}" for i in range(12))


def row(name: str, seed: int, cases: tuple[str, ...] = CASES, **values: np.ndarray) -> NetworkResult:
    generator = np.random.default_rng(seed)
    drawn = {measure: generator.random((len(cases), 2)) for measure in MEASURES} | values
    cost = dict.fromkeys(COSTS, float(seed))
    measures = {measure: CaseValues(cases, ("liver", "kidney"), numbers) for measure, numbers in drawn.items()}
    return NetworkResult(name, measures, cost, {"device": "cpu"})


def test_means_differences_and_costs_stand_beside_their_networks(tmp_path: Path) -> None:
    first, second = row("sam3d", 1), row("unet", 2)
    write_tables([first, second], "Comparison", "by hand", tmp_path)
    markdown = (tmp_path / "comparison.md").read_text()
    accuracy = read_tables(markdown)["Accuracy"]
    for found, expected in zip(accuracy, (first, second), strict=True):
        dice = mean_interval(expected.values["dice"].values)
        assert found["network"] == expected.name
        assert found["mean Dice"] == f"**{dice.value:#.3g} [{dice.low:#.3g}, {dice.high:#.3g}]**"
    difference = difference_interval(second.values["dice"].values, first.values["dice"].values)
    assert [found["difference to sam3d"].strip() for found in accuracy] == [
        "",
        f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]",
    ]
    kidney = mean_interval(second.values["nsd"].values[:, 1:])
    assert read_tables(markdown)["Classes"][3]["NSD"] == f"{kidney.value:#.3g} [{kidney.low:#.3g}, {kidney.high:#.3g}]"
    assert [found["s a step"] for found in read_tables(markdown)["Cost"]] == ["1.00", "2.00"]
    assert (tmp_path / "accuracy.png").exists()


def test_the_same_numbers_in_full_are_in_the_csv(tmp_path: Path) -> None:
    rows = [row("sam3d", 1), row("unet", 2)]
    write_tables(rows, "Comparison", "by hand", tmp_path)
    lines = list(csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert [line["network"] for line in lines] == ["sam3d", "unet"]
    assert float(lines[1]["dice liver"]) == pytest.approx(rows[1].values["dice"].values[:, 0].mean())
    assert float(lines[1]["dice minus that of sam3d"]) == pytest.approx(float(lines[1]["dice"]) - float(lines[0]["dice"]))
    assert float(lines[1]["hd95_mm low"]) < float(lines[1]["hd95_mm"]) < float(lines[1]["hd95_mm high"])


def test_a_missing_distance_is_counted_and_an_absent_class_is_not(tmp_path: Path) -> None:
    dice, distance = np.full((12, 2), 0.5), np.full((12, 2), 3.0)
    dice[:3, 0] = distance[:3, 0] = math.nan  # on neither side
    distance[5, 0] = math.nan  # on one side
    write_tables([row("sam3d", 1, dice=dice, hd95_mm=distance)], "Comparison", "by hand", tmp_path)
    liver, kidney = read_tables((tmp_path / "comparison.md").read_text())["Classes"]
    assert liver["HD95, mm"] == "3.00 [3.00, 3.00] (1 of 9 missing)"
    assert kidney["HD95, mm"] == "3.00 [3.00, 3.00]"
    assert read_tables((tmp_path / "comparison.md").read_text())["Accuracy"][0]["HD95, mm"].endswith("(1 of 21 missing)")


def test_a_network_that_finds_nothing_has_no_distance_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    nothing = {"dice": np.zeros((12, 2)), **dict.fromkeys(("hd95_mm", "hd95_voxels"), np.full((12, 2), math.nan))}
    write_tables([row("sam3d", 1), row("unet", 2, **nothing)], "Comparison", "by hand", tmp_path)
    found, lost = read_tables((tmp_path / "comparison.md").read_text())["Accuracy"]
    assert found["HD95, mm"]
    assert lost["mean Dice"] == "**0.00 [0.00, 0.00]**"
    assert lost["HD95, mm"].strip() == "(24 of 24 missing)"


def test_every_measure_has_its_column(tmp_path: Path) -> None:
    assert {*MEASURES} == {*TITLES}
    write_tables([row("sam3d", 1), row("unet", 2)], "Comparison", "by hand", tmp_path)
    tables = read_tables((tmp_path / "comparison.md").read_text())
    shown = ["HD95, mm", "ASSD, mm", "NSD", "absolute volume error, ml"]
    assert list(tables["Accuracy"][0])[3:] == shown
    assert list(tables["Classes"][0])[2:] == ["Dice", *shown]


def test_without_spacing_distances_are_in_voxels_and_there_is_no_volume(tmp_path: Path) -> None:
    unknown = np.full((12, 2), math.nan)
    unknown_in_mm = dict.fromkeys(("hd95_mm", "assd_mm", "volume_error_ml"), unknown)
    write_tables([row("sam3d", 1, **unknown_in_mm)], "Comparison", "by hand", tmp_path)
    found = read_tables((tmp_path / "comparison.md").read_text())["Accuracy"][0]
    assert list(found)[3:] == ["HD95, voxels", "ASSD, voxels", "NSD"]
    assert all(found[name] for name in list(found)[3:])


@pytest.mark.parametrize("first", [True, False])
def test_what_an_older_evaluation_did_not_measure_is_a_dash(tmp_path: Path, first: bool) -> None:
    new, old = row("sam3d", 1), row("unet", 2)
    for measure in ("assd_mm", "assd_voxels", "volume_error_ml"):
        del old.values[measure]
    rows = [old, new] if first else [new, old]
    write_tables(rows, "Comparison", "by hand", tmp_path)
    tables = read_tables((tmp_path / "comparison.md").read_text())
    lines = {line["network"]: line for line in csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines())}
    for table in ("Accuracy", "Classes"):
        for found in tables[table]:
            assert (found["ASSD, mm"] == "-") == (found["absolute volume error, ml"] == "-") == (found["network"] == "unet")
            assert found["NSD"] != "-"
    assert (lines["unet"]["assd_mm"], float(lines["sam3d"]["assd_mm"]) > 0) == ("", True)


def test_measures_are_those_in_the_file_and_the_volume_error_has_no_sign(tmp_path: Path) -> None:
    network = ComparedNetwork("unet", Setting(tmp_path, tmp_path / "preset.yaml", Budget(max_epochs=1), {}))
    run = network.runs[0]
    run.training.mkdir(parents=True)
    (run.evaluation / "masks").mkdir(parents=True)
    (run.evaluation / "masks" / "a.json").write_text("{}")
    costs = ("steps", "seconds", "preparation_seconds", "median_step_seconds", "macs", "parameters", "trained_parameters")
    (run.training / "cost.json").write_text(json.dumps({**dict.fromkeys(costs, 1), "peak_memory_bytes": None}))
    (network.folder / "plan.json").write_text('{"preparation_seconds": 0}')
    metrics = run.evaluation / "metrics.csv"
    metrics.write_text("case,class,dice,nsd,volume_error_ml\na,liver,0.5,0.25,-2\nb,liver,0.75,,3\n")
    found = read_result(network).values
    assert {measure: values.values[:, 0].tolist() for measure, values in found.items() if measure != "nsd"} == {
        "dice": [0.5, 0.75],
        "volume_error_ml": [2, 3],
    }
    assert found["nsd"].values[0, 0] == 0.25
    metrics.write_text("case,class,dice,nsd\na,liver,0.5,0.25\n")
    assert [*read_result(network).values] == ["dice", "nsd"]


def test_folds_are_one_row_whose_costs_are_sums_and_whose_cases_are_all(tmp_path: Path) -> None:
    """Also where two folds call a case by the same name, as one evaluation would not."""
    setting = Setting(tmp_path, tmp_path / "preset.yaml", Budget(max_epochs=1), {"folds": 2})
    network = ComparedNetwork("unet", setting)
    cells = dict.fromkeys([*MEASURES, "components_reference", "components_found", "components_false_positive"])
    for number, (run, dice) in enumerate(zip(network.runs, ([0.25, 0.5], [0.75]), strict=True), 1):
        (run.evaluation / "masks").mkdir(parents=True)
        (run.evaluation / "masks" / "a.json").write_text("{}")
        rows = [
            {"case": case, "class": "liver", **cells, "dice": value, "voxels_reference": 1}
            for case, value in zip("ab", dice, strict=False)
        ]
        write_rows(run.evaluation / "metrics.csv", rows)
        (run.evaluation / "report.json").write_text("[]")
        write_checkpoint(run.training / "model.pt", {}, {"labels": {"0": "background", "1": "liver"}})
        confusion = {name: {"background": 1, "liver": 1} for name in ("background", "liver")}
        means = {**means_of(rows, ["liver"]), "nsd_tolerance": 1.0, "nsd_unit": "mm", "confusion": confusion}
        (run.evaluation / "metrics.json").write_text(json.dumps(means))
        cost = {"steps": 10 * number, "seconds": 60 * number, "preparation_seconds": 30 * number, "median_step_seconds": number}
        network_of_all = {"macs": 1e9, "parameters": 2e6, "trained_parameters": 1e6}
        peak = {"peak_memory_bytes": 1e9 * number}
        (run.training / "cost.json").write_text(json.dumps({**cost, **peak, **network_of_all}))
    (network.folder / "plan.json").write_text('{"preparation_seconds": 30}')
    found = read_result(network)
    dice = found.values["dice"]
    assert dict(zip(dice.cases, dice.values[:, 0], strict=True)) == {"fold_0/a": 0.25, "fold_0/b": 0.5, "fold_1/a": 0.75}
    assert json.loads((network.folder / "metrics.json").read_text())["mean_dice"] == mean_interval(dice.values).value == 0.5
    assert found.cost == {
        "steps": 30,
        "training_minutes": 3,
        "preparation_minutes": 2,
        "step_seconds": 1.5,
        "peak_memory_gb": 2,
        "gmacs": 1,
        "parameters_m": 2,
        "trained_parameters_m": 1,
    }


def test_a_network_that_failed_is_said_and_is_not_what_others_are_compared_with(tmp_path: Path) -> None:
    write_tables(
        [NetworkResult("medt", failure="out of memory"), row("unet", 2), row("sam3d", 1)], "Comparison", "by hand", tmp_path
    )
    markdown = (tmp_path / "comparison.md").read_text()
    assert "medt did not finish: out of memory" in markdown
    assert list(read_tables(markdown)["Accuracy"][0])[2] == "difference to unet"
    write_tables([NetworkResult("medt", failure="out of memory")], "Comparison", "by hand", tmp_path)
    assert "##" not in (tmp_path / "comparison.md").read_text()


def test_networks_evaluated_on_other_cases_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unet and sam3d were evaluated on other cases"):
        write_tables([row("sam3d", 1), row("unet", 2, cases=CASES[:-1])], "Comparison", "by hand", tmp_path)
