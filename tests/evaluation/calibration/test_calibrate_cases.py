"""What is reported is measured on cases that nothing was fitted to, and a good calibration is found to be one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulated import simulated_case

from scripts.evaluation.calibration.calibrate_cases import Calibration, calibrate_cases
from scripts.evaluation.calibration.cross_fit import parts_of
from scripts.evaluation.calibration.draw_calibration import draw_calibration
from scripts.evaluation.calibration.risk_coverage import flagged, risk_coverage
from scripts.evaluation.calibration.sampled_case import SampledCase

STRUCTURES = {"liver": [1]}
PER_STRUCTURE = ("dice", "voxels", "voxels_reference")


@pytest.fixture(scope="module")
def cases() -> list[SampledCase]:
    random = np.random.default_rng(0)
    return [replace(simulated_case(random, factor=2.0), name=f"case {number}") for number in range(40)]


@pytest.fixture(scope="module")
def parts() -> np.ndarray:
    return np.arange(40) % 4


@pytest.fixture(scope="module")
def found(cases: list[SampledCase], parts: np.ndarray) -> Calibration:
    return calibrate_cases(cases, parts, STRUCTURES, regions=False)


def test_an_overconfident_network_is_calibrated(cases: list[SampledCase], found: Calibration) -> None:
    report = found.report
    assert found.fitted.temperature == pytest.approx([2], rel=0.05)
    for where in ("all", "near"):
        errors = report["calibration_error"][where]
        assert errors["after"]["mean"] < 0.01 < 0.02 < errors["before"]["mean"]
    liver = report["structures"]["liver"]
    assert liver["dice"]["spearman"] > 0.9
    assert liver["dice"]["mean_absolute_error"] < 0.02
    assert (liver["dice"]["coverage"], liver["volume"]["coverage"]) == (pytest.approx(0.9, abs=0.08),) * 2
    curve = report["risk_coverage"]
    assert curve["ideal"] <= curve["area"] < curve["random"]
    assert [case["case"] for case in report["by_case"]] == [case.name for case in cases]


def test_a_held_out_part_does_not_change_what_is_predicted_for_it(
    cases: list[SampledCase], parts: np.ndarray, found: Calibration
) -> None:
    wrong = [
        replace(case, reference=1 - case.reference, dice=1 - case.dice) if part == 2 else case
        for case, part in zip(cases, parts, strict=True)
    ]
    first, second = found.report["by_case"], calibrate_cases(wrong, parts, STRUCTURES, regions=False).report["by_case"]
    for before, after, part in zip(first, second, parts, strict=True):
        assert (before["predicted_dice"] == after["predicted_dice"]) == (part == 2)


def test_one_temperature_for_each_region_where_that_is_likelier(parts: np.ndarray) -> None:
    random = np.random.default_rng(1)
    outer, inner = ([simulated_case(random, blur=2.0) for _ in range(40)] for _ in range(2))
    cases = []
    for one, other in zip(outer, inner, strict=True):
        margins = [case.logits[:, 1] for case in (one, other)]
        reference = one.reference + 2 * other.reference  # background, outer alone, inner alone, both: two regions that overlap
        both = {name: np.stack([getattr(case, name)[0] for case in (one, other)]) for name in PER_STRUCTURE}
        logits = np.stack([margins[0], 4 * margins[1]], 1)
        cases.append(replace(one, logits=logits, mask=one.mask + 2 * other.mask, reference=reference, **both))
    found = calibrate_cases(cases, parts, {"outer": [1, 3], "inner": [2, 3]}, regions=True)
    assert found.fitted.temperature == pytest.approx([1, 4], rel=0.1)


def test_one_part_and_cases_without_all_labels_are_refused(cases: list[SampledCase], parts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="which takes two, got 40"):
        calibrate_cases(cases, 0 * parts, STRUCTURES, regions=False)
    with pytest.raises(ValueError, match="annotated for all structures"):
        calibrate_cases([replace(case, annotated=False) for case in cases], parts, STRUCTURES, regions=False)


def test_a_structure_that_is_always_there_is_missed_by_an_empty_mask(
    cases: list[SampledCase], parts: np.ndarray, found: Calibration
) -> None:
    liver = found.fitted.structures[0]
    assert liver.judged(np.nan) == (0, 0, 0)
    absent = replace(cases[0], reference=0 * cases[0].reference, dice=np.zeros(1), voxels_reference=np.zeros(1))
    sometimes = calibrate_cases([absent, *cases[1:]], parts, STRUCTURES, regions=False)
    assert np.isnan(sometimes.fitted.structures[0].judged(np.nan)).all()
    assert sometimes.report["structures"]["liver"]["volume"]["absent"] == 1


def test_cases_of_one_patient_are_in_one_part() -> None:
    groups = [f"patient {number // 3}" for number in range(30)]
    parts = parts_of(groups)
    assert len(np.unique(parts)) == 5
    assert all(len({*parts[np.array(groups) == group]}) == 1 for group in groups)


def test_risk_and_flags_by_hand() -> None:
    dice, predicted = np.array([0.5, 0.9, 0.7, 0.8]), np.array([0.6, 0.95, 0.9, 0.7])
    curve = risk_coverage(predicted, dice)
    assert curve["risk"] == pytest.approx([0.1, 0.2, 0.2, 0.275])
    assert curve["ideal_risk"] == pytest.approx([0.1, 0.15, 0.2, 0.275])
    assert (curve["area"], curve["random"]) == (pytest.approx(0.19375), pytest.approx(0.275))
    found = flagged(np.c_[predicted, np.full(4, np.nan)], np.c_[dice, [0.9, 0.9, np.nan, 0.9]], 0.75)
    assert found == {"below": 0.75, "flagged": 2, "wrong": 2, "found": 1, "share_found": 0.5}


def test_the_picture_is_drawn_also_of_few_cases(cases: list[SampledCase], found: Calibration, tmp_path: Path) -> None:
    for report in (found.report, calibrate_cases(cases[:2], np.arange(2), STRUCTURES, regions=False).report):
        draw_calibration(report, [*STRUCTURES], tmp_path / "calibration.png")
        assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "calibration.png").unlink()
