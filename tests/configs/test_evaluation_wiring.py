"""evaluate.json over train.json: what is measured, against what, and where it is written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from scripts.data import read_datalist
from scripts.files.checkpoint_file import read_checkpoint
from scripts.run.plain_errors import plain_sentence

from .conftest import SETTINGS, Start, names, parts

FILES = ("train.json", "evaluate.json")
OPTIONS: dict[str, Any] = {
    "seed": 7,
    "val_fraction": 0.5,
    "nsd_tolerance": 2.5,
    "nsd_unit": "mm",
    "amp": "false",
    "num_workers": 3,
}


@pytest.fixture(scope="module")
def evaluation(start: Start, dataset: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ConfigWorkflow:
    """A run on the held-out cases."""
    output = tmp_path_factory.mktemp("evaluation")
    run = start("evaluating", *FILES, dataset_dir=dataset, output_dir=output, checkpoint=checkpoint, **OPTIONS)
    run.run()
    return run


def get(run: ConfigWorkflow, identifier: str) -> Any:
    return run.parser.get_parsed_content(identifier)


def test_the_held_out_cases_are_measured_as_the_preset_says(evaluation: ConfigWorkflow, dataset: Path) -> None:
    held_out = [case["image"] for case in read_datalist(dataset, 0.5, seed=7)["validation"].cases]
    assert held_out != [case["image"] for case in read_datalist(dataset, 0.5, seed=0)["validation"].cases]
    entries = json.loads((Path(get(evaluation, "output_dir")) / "report.json").read_text())
    assert [(entry["file"], entry["status"]) for entry in entries] == [(image, "written") for image in held_out]
    metrics = get(evaluation, "metrics")
    assert metrics.labels == {1: "liver", 2: "kidney", 3: "vessel"}
    assert (metrics.nsd, metrics.spacing_known) == ({"nsd_tolerance": 2.5, "nsd_unit": "mm"}, True)
    assert len(metrics.rows) == len(held_out) * 3


def test_without_known_spacing_nothing_is_measured_in_mm(tmp_path: Path) -> None:
    for word, meant in (("False", False), (True, True)):
        assert parts(*FILES, spacing_known=word, output_dir=tmp_path)("metrics").spacing_known == meant


def test_tables_and_masks_lie_in_the_output_folder_and_no_curves(evaluation: ConfigWorkflow) -> None:
    output = Path(get(evaluation, "output_dir"))
    tables = {"metrics.csv", "metrics.json", "confusion.csv", "overlays.png"}
    assert {path.name for path in output.iterdir()} == {*tables, "report.json", "report.html", "calibration", "masks", ".lock"}
    masks = {path.name for path in (output / "masks").iterdir()}
    assert len(masks) == 2 * 3  # each with its record
    assert get(evaluation, "validate#evaluator").state.metrics == {}


def test_the_network_is_that_of_the_checkpoint(evaluation: ConfigWorkflow, checkpoint: Path) -> None:
    evaluator, network = get(evaluation, "validate#evaluator"), get(evaluation, "network_def")
    assert evaluator.network is get(evaluation, "network") is network
    saved = read_checkpoint(checkpoint)
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


def test_a_mask_goes_back_to_the_file_it_was_made_from(evaluation: ConfigWorkflow, checkpoint: Path) -> None:
    """That it lies there is tested in `runs`."""
    *_, classes, back, labels, clean, save = get(evaluation, "validate#postprocessing").transforms
    assert names([classes, back, labels, clean, save]) == [
        *("LogitsToClassesd", "Invertd", "ClassesToLabelsd", "CleanMaskd", "SaveMaskd")
    ]
    assert str(classes.checkpoint) == str(checkpoint)
    assert (back.keys, back.orig_keys, back.nearest_interp) == (("pred",), ("image",), (True,))
    assert back.transform is get(evaluation, "validate#preprocessing")
    assert labels.values.tolist() == [int(value) for value in SETTINGS["labels"]]
    assert save.output_dir == Path(get(evaluation, "output_dir")) / "masks"


def test_every_mask_is_made_anew_and_its_record_says_by_what(evaluation: ConfigWorkflow, checkpoint: Path) -> None:
    records = get(evaluation, "records")
    assert (records.reuse, records.folder) == (False, Path(get(evaluation, "output_dir")) / "masks")
    assert (records.made_by["encoder_weights"], records.made_by["device"]) == ("random, seed 3", "cpu")
    assert records.made_by["checkpoint"]["file"] == str(checkpoint)
    without = type(records)(records.folder, checkpoint, "random", 3, "cpu", get(evaluation, "network_def"))
    assert records.made_by.keys() == without.made_by.keys()
    assert records.made_by["config_sha256"] != without.made_by["config_sha256"]
    for path in records.folder.glob("*.json"):
        assert json.loads(path.read_text()).keys() >= records.made_by.keys()


def test_cases_are_read_ahead_by_as_many_threads_as_workers(evaluation: ConfigWorkflow) -> None:
    loader, dataset = get(evaluation, "validate#dataloader"), get(evaluation, "validate#dataset")
    assert (loader.dataset, loader.threads) == (dataset, 3)
    assert (dataset.transform, dataset.records) == (get(evaluation, "validate#preprocessing"), get(evaluation, "records"))
    assert all("opened" in case for case in dataset.data)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seed": 8}, "was trained with another split: seed was 7, now it is 8"),
        ({"val_fraction": 0.4}, "was trained with another split: val_fraction was 0.5, now it is 0.4"),
        ({"roi_depth": 9}, "roi_depth"),
        ({"part": "everything"}, "part must be"),
        ({"labels": {"0": "background", "1": "spleen", "2": "kidney", "3": "vessel"}}, "spleen"),
    ],
)
def test_what_is_not_as_in_training_is_refused(
    start: Start, dataset: Path, checkpoint: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((RuntimeError, ValueError)) as error:
        start(
            "evaluating", *FILES, dataset_dir=dataset, output_dir=tmp_path, checkpoint=checkpoint, **{**OPTIONS, **settings}
        ).run()
    assert said in plain_sentence(error.value)
    assert list(tmp_path.glob("masks/*.nii.gz")) == []


def test_old_tables_are_gone_when_a_case_is_refused_and_so_is_its_mask(
    start: Start, dataset: Path, checkpoint: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = {**OPTIONS, "part": "test", "dataset_dir": dataset, "output_dir": tmp_path, "checkpoint": checkpoint}
    start("evaluating", *FILES, **options).run()
    assert len(json.loads((tmp_path / "metrics.json").read_text())["classes"]) == 3
    assert len(list((tmp_path / "masks").glob("*.nii.gz"))) == 2
    damaged = shutil.copytree(dataset, tmp_path_factory.mktemp("damaged") / "data")
    for path in (damaged / "images").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    options["dataset_dir"] = damaged
    with pytest.raises(SystemExit):
        start("evaluating", *FILES, **options).run()
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html", "masks", ".lock"}
    assert list((tmp_path / "masks").iterdir()) == []
    assert [entry["status"] for entry in json.loads((tmp_path / "report.json").read_text())] == ["refused"] * 2
