"""What a calibrated checkpoint says reaches all that cleans and judges masks; an evaluation keeps what calibration needs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from scripts.evaluation.calibration.sampled_case import read_sampled_cases
from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint
from scripts.handlers import check_run_folder
from scripts.run.plain_errors import plain_sentence

from .conftest import Start, names, parts

LIVER = {
    "recalibration": {"probabilities": [0.0, 1.0], "shares": [0.0, 1.0]},
    "dice": {"slope": 0.5, "intercept": 0.25, "radius": 0.1},
    "volume": {"log_ratio": 0.0, "radius": 0.2},
    "always_there": True,
}
CALIBRATION = {"coverage": 0.9, "cases": 20, "structures": [LIVER] * 3}
CLEANING = {"kidney": {"keep_largest": True}}
REGIONS = {"regions": {"a": [1, 2, 3], "b": [2, 3], "c": [3]}, "region_values": [1, 2, 3]}
EVALUATION = ("train.json", "evaluate.json")


def get(run: ConfigWorkflow, identifier: str) -> Any:
    return run.parser.get_parsed_content(identifier)


def test_an_evaluation_keeps_samples_of_its_cases(start: Start, phantoms: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = {"temperature": 2.0, "cleaning": CLEANING, "seed": 7, "val_fraction": 0.5}
    run = start("evaluating", *EVALUATION, dataset_dir=phantoms, output_dir=tmp_path, checkpoint=checkpoint, **options)
    run.run()
    first, second = read_sampled_cases(tmp_path)
    assert [case.name for case in (first, second)] == ["phantom_004", "phantom_005"]
    assert (first.cleaning, first.annotated, first.part) == (CLEANING, True, "validation")
    assert first.spacing == pytest.approx([1.0, 1.2, 3.0], abs=1e-4)
    sampler = get(run, "before_argmax")[0]
    assert (sampler.back.transform, sampler.regions) == (get(run, "validate#preprocessing"), False)
    # The logits of the network itself: the temperature is taken out again.
    options["temperature"] = 1.0
    start("evaluating", *EVALUATION, dataset_dir=phantoms, output_dir=tmp_path, checkpoint=checkpoint, **options).run()
    again = read_sampled_cases(tmp_path)[0]
    assert again.places.tolist() != []
    rows = {place: row for place, row in zip(again.places.tolist(), again.logits, strict=True)}
    both = [(row, rows[place]) for place, row in zip(first.places.tolist(), first.logits, strict=True) if place in rows]
    assert len(both) > 20
    once, other = (torch.tensor(np.stack([pair[side] for pair in both])).softmax(1) for side in range(2))
    torch.testing.assert_close(once, other, atol=0.01, rtol=0)


def test_segment_judges_and_cleans_as_the_calibration_says(
    start: Start, phantoms: Path, checkpoint: Path, tmp_path: Path
) -> None:
    options = {"calibration": CALIBRATION, "cleaning": CLEANING, "flag_below": 0.9, "output_dir": tmp_path}
    run = start("inference", "inference.json", input=phantoms / "images", checkpoint=checkpoint, **options)
    run.run()
    assert names(get(run, "before_argmax")) == ["SampleVoxelsd"]
    assert get(run, "before_argmax")[0].back.transform is get(run, "preprocessing")
    clean = next(step for step in get(run, "postprocessing").transforms if type(step).__name__ == "CleanMaskd")
    assert clean.steps == {2: {"keep_largest": True}}
    quality = get(run, "quality")
    assert (quality.flag_below, quality.spacing_known, quality.regions) == (0.9, True, False)
    assert len(quality.rows) == 8
    assert len((tmp_path / "quality.csv").read_text().splitlines()) == 1 + 8 * 3
    entries = json.loads((tmp_path / "report.json").read_text())
    assert {entry["rule"] for entry in entries} == {"a mask should be as good as --flag-below says"}


def test_without_a_calibration_nothing_is_sampled(tmp_path: Path, checkpoint: Path) -> None:
    content = parts("inference.json", checkpoint=checkpoint, device="cpu", output_dir=tmp_path)
    assert content("before_argmax") == []
    assert content("quality").calibrations is None


def test_other_cleaning_is_another_mask_and_another_threshold_is_not(checkpoint: Path, tmp_path: Path, start: Start) -> None:
    def made_by(**settings: Any) -> str:
        options = {"calibration": CALIBRATION, "checkpoint": checkpoint, "output_dir": tmp_path, "input": tmp_path}
        return get(start("inference", "inference.json", **options, **settings), "records").made_by["config_sha256"]

    assert made_by() == made_by(flag_below=0.5) != made_by(cleaning=CLEANING)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cleaning": {"liverr": {}}}, "names 'liverr', and the structures are liver, kidney, vessel; did you mean liver"),
        ({"cleaning": []}, "cleaning must be names of structures, each with its steps"),
        ({"calibration": {"structures": [LIVER]}}, "is of 1 structures and there are 3; calibrate again"),
        ({"calibration": "yes"}, "calibration must be what sam3d calibrate wrote into a checkpoint, or null"),
        ({"flag_below": 0.8}, "sam3d calibrate RUN"),
        ({"flag_below": 80, "calibration": CALIBRATION}, "flag_below must be a number above 0, at most 1, or null"),
        (
            {"regions": {"a": [1, 2, 3], "b": [2, 3], "c": [3]}, "region_values": [1, 2, 3], "cleaning": CLEANING},
            "regions overlap",
        ),
    ],
)
def test_what_means_nothing_is_refused(
    start: Start, phantoms: Path, checkpoint: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((RuntimeError, ValueError)) as error:
        start("inference", "inference.json", input=phantoms, checkpoint=checkpoint, output_dir=tmp_path, **settings).run()
    assert said in plain_sentence(error.value)


def test_a_run_is_resumed_beside_a_calibrated_checkpoint(tmp_path: Path) -> None:
    settings = {"roi_depth": 8, "learning_rate": 0.01}
    state = {"epoch": 1, "epoch_length": 2, "max_epochs": 3, "best_metric_epoch": 1, "complete": False, "best_metric": 0.5}
    write_checkpoint(tmp_path / "last.pt", {**state, "cases": {}}, settings)
    added = {"temperature": 1.5, "cleaning": CLEANING, "calibration": CALIBRATION}
    write_checkpoint(tmp_path / "model.pt", {"weight": torch.zeros(1)}, {**settings, **added})
    check_run_folder(tmp_path, resume=True, settings=settings)
    assert read_about(tmp_path / "model.pt") == {**settings, **added}
    assert read_checkpoint(tmp_path / "model.pt").keys() == {"weight"}
    with pytest.raises(ValueError, match=r"learning_rate was 0\.01, now it is 0\.02"):
        check_run_folder(tmp_path, resume=True, settings={**settings, "learning_rate": 0.02})
