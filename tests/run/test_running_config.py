"""Whoever is called on behalf of a run sees its configuration, merged and with its options; nobody else sees one."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from monai.bundle import ConfigParser, ConfigWorkflow
from scripts.run.running_config import CIRCUMSTANCES, PRESET, running_preset, running_settings, running_workflow

CONFIGS = ROOT / "configs"
ASKING = {
    "imports": ["$import sys"],
    "settings": {"_target_": "scripts.run.running_config.running_settings"},
    "preset": {"_target_": "scripts.run.running_config.running_preset"},
    "workflow": {"_target_": "scripts.run.running_config.running_workflow"},
    "labels": {"0": "background", "1": "liver"},
    "roi_depth": 8,
    "output_dir": "here",
    "train": {"batch": 1},
}


def asked(folder: Path, identifier: str, *more: dict[str, Any], **options: Any) -> tuple[Any, ConfigWorkflow]:
    """What a run of these configs builds under the identifier first, and the run."""
    files = []
    for number, content in enumerate((ASKING, *more)):
        files.append(str(folder / f"{number}.json"))
        Path(files[-1]).write_text(json.dumps(content))
    run = ConfigWorkflow(files, workflow_type="infer", logging_file=False, init_id=identifier, **options)
    return run.initialize()[0], run


def test_outside_of_a_run_there_is_no_configuration() -> None:
    assert running_workflow() is None
    assert running_settings() == {}
    assert running_preset() == {}


def test_a_component_finds_the_run_on_whose_behalf_it_is_built(tmp_path: Path) -> None:
    found, run = asked(tmp_path, "workflow")
    assert found is run


def test_settings_are_those_of_all_files_and_options_and_nothing_is_built_from_them(tmp_path: Path) -> None:
    settings = asked(tmp_path, "settings", {"roi_depth": 16, "train#batch": 2}, labels={"0": "a", "5": "b"})[0]
    assert settings["roi_depth"] == 16
    assert settings["train"] == {"batch": 2}
    assert settings["labels"] == {"0": "a", "5": "b"}
    assert settings["preset"] == ASKING["preset"]


def test_circumstances_are_no_settings(tmp_path: Path) -> None:
    there = {"output_dir": "there", "num_workers": 5, "device": "cpu", "resume": True}
    first, second = (asked(tmp_path, "settings", more)[0] for more in ({}, there))
    assert first == second
    assert not CIRCUMSTANCES & first.keys()


def test_the_preset_is_what_a_network_was_trained_for(tmp_path: Path) -> None:
    assert asked(tmp_path, "preset")[0] == {key: ASKING[key] for key in ("labels", "roi_depth")}


@pytest.mark.parametrize("name", ["train.json", "inference.json"])
def test_what_makes_up_the_preset_stands_in_the_configs(name: str) -> None:
    config = ConfigParser.load_config_file(str(CONFIGS / name))
    assert set(PRESET) <= config.keys()
    assert not CIRCUMSTANCES & set(PRESET)


def test_every_circumstance_is_an_id_of_the_configs() -> None:
    """Else it was renamed, and counts as a setting now."""
    files = [*CONFIGS.glob("*.json"), *CONFIGS.rglob("*.yaml")]
    known = {key.lstrip("+") for file in files for key in ConfigParser.load_config_file(str(file))}
    assert CIRCUMSTANCES - known - {"_meta_"} == set()
