"""Baked configs against what they were baked from: the same settings, with nothing beside them."""

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from scripts.packages.baked_configs import baked_configs, laid_over
from scripts.run.check_config import check_config
from scripts.run.command_line import read_command_line
from scripts.run.config_files import CONFIGS, network_configs
from scripts.run.settings import CLASSES, Changes, differences, network_settings, read_settings

from .conftest import NARROW, training_settings

OVERLAYS = ("cached", "ema", "joint_dice", "lora", "two_stage", "last_blocks", "mobile_sam", "two_scales")
RUNS = [["train.json"], *(["train.json", f"overlays/{name}.yaml"] for name in OVERLAYS)]
RUNS.append(["train.json", *map(str, network_configs("detail+no_encoder")), "overlays/ema.yaml"])


def merged_config(files: list[str | Path]) -> dict[str, Any]:
    line = read_command_line(["monai.bundle", "run", "training", "--config_file", str([str(CONFIGS / file) for file in files])])
    assert line is not None
    return line.config


def write(configs: dict[str, Any], folder: Path) -> Path:
    (folder / "configs").mkdir()
    for name, config in configs.items():
        (folder / name).write_text(json.dumps(config))
    return folder / "configs"


def components(node: Any, identifier: str = "") -> dict[str, set[str]]:
    """id -> names of its arguments"""
    own = {identifier: {*node}} if isinstance(node, dict) and "_target_" in node else {}
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return own | {inner: found for key, part in parts for inner, found in components(part, f"{identifier}#{key}").items()}


def without(settings: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


@pytest.mark.parametrize("files", RUNS, ids=lambda files: "+".join(Path(file).stem for file in files))
def test_a_training_run_with_the_baked_config_has_the_same_settings(files: list[str], tmp_path: Path) -> None:
    about = training_settings([*files, NARROW])
    folder = write(baked_configs([about], ["models/model.pt"], None), tmp_path)
    again = read_settings(["monai.bundle", "run", "training", f"--config_file={folder}/train.json"])
    assert list(differences(about, json.loads(json.dumps(again)))) == []
    whole = components(json.loads(json.dumps(merged_config([*files, NARROW]), default=str)))
    baked = components(json.loads((folder / "train.json").read_text()))
    assert baked == {identifier: whole[identifier] for identifier in baked}
    inference = read_settings(["monai.bundle", "run", "inference", f"--config_file={folder}/inference.json"])
    trained = {key: value for key, value in network_settings(about).items() if key in CLASSES}
    assert list(differences(trained, {key: network_settings(inference)[key] for key in trained})) == []


def test_baked_configs_pass_the_check_that_begins_every_run(tmp_path: Path) -> None:
    about = training_settings(["train.json", "overlays/cached.yaml", NARROW])
    folder = write(baked_configs([about], ["models/model.pt"], "random"), tmp_path)
    check_config(["monai.bundle", "run", "inference", f"--config_file={folder}/inference.json"])
    pair = [f"{folder}/train.json", f"{folder}/evaluate.json"]
    check_config(["monai.bundle", "run", "evaluating", f"--config_file={pair}"])


def test_an_ensemble_names_all_of_its_networks_and_no_fold() -> None:
    about = training_settings(["train.json", NARROW])
    abouts = [{**about, "folds": 2, "fold": fold, "temperature": 1.5} for fold in range(2)]
    baked = baked_configs(abouts, ["models/fold_0.pt", "models/fold_1.pt"], None)
    for name in ("evaluate", "inference"):
        config = baked[f"configs/{name}.json"]
        assert config["temperature"] == 1.5
        assert ConfigParser({**config, "bundle_root": "/x"}).get_parsed_content("checkpoint") == [
            "/x/models/fold_0.pt",
            "/x/models/fold_1.pt",
        ]
    assert [baked["configs/train.json"][key] for key in ("folds", "fold")] == [None, None]


def test_a_network_of_the_laboratory_is_refused() -> None:
    about = training_settings(["train.json", NARROW])
    about["network_def"]["decoder"]["_target_"] = "scripts.research.networks.Decoder"
    with pytest.raises(ValueError, match="a network of the laboratory cannot be packaged"):
        baked_configs([about], ["models/model.pt"], None)


def test_what_says_where_and_how_fast_stays_and_all_else_is_replaced() -> None:
    config = {"labels": {"0": "a", "1": "b"}, "inferer": {"_target_": "X", "mode": "whole", "memory": 3}, "num_workers": 2}
    assert CLASSES["inferer#memory"] is Changes.NOTHING
    settings = {"labels": {"0": "a", "7": "c"}, "inferer": {"_target_": "X", "roi_depth": "@a::b"}, "more": "$@x::y[::-1]"}
    assert laid_over(config, settings) == {
        "labels": {"0": "a", "7": "c"},
        "inferer": {"_target_": "X", "memory": 3, "roi_depth": "@a#b"},
        "num_workers": 2,
        "more": "$@x#y[::-1]",
    }
    assert laid_over(config, {"inferer": {"_target_": "Y"}})["inferer"] == {"_target_": "Y"}


def test_configs_of_this_bundle_are_what_is_baked() -> None:
    about = training_settings(["train.json"])
    baked = baked_configs([about], ["models/model.pt"], None)
    for name in ("train", "evaluate", "inference"):
        assert baked[f"configs/{name}.json"] == json.loads((CONFIGS / f"{name}.json").read_text())
