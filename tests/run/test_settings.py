"""Every setting is classified once; what a run was told is read from its command line, and two runs are compared by it."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.run.settings import CLASSES, Changes, changed_by, chosen, differences, network_settings, read_settings

CONFIGS = ROOT / "configs"
FILES = [*CONFIGS.glob("*.json"), *CONFIGS.rglob("*.yaml")]


def settings(folder: Path, *contents: dict[str, Any], **options: str) -> dict[str, Any]:
    """Of a run of config files with these contents."""
    files = [folder / f"{number}.json" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(json.dumps(content))
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    return read_settings(["monai.bundle", "run", "training", "--config_file", str([str(file) for file in files]), *words])


def test_outside_of_a_run_there_are_no_settings() -> None:
    assert read_settings([]) == read_settings(["pytest", "run"]) == read_settings(["monai.bundle", "verify_metadata"]) == {}


def test_they_are_those_of_all_files_and_options_and_nothing_is_built_from_them(tmp_path: Path) -> None:
    first = {
        "labels": {"0": "background", "1": "liver"},
        "roi_depth": 8,
        "train": {"batch": 1},
        "loss": {"_target_": "DiceLoss"},
    }
    found = settings(tmp_path, first, {"roi_depth": 16, "train#batch": 2}, seed="7", spacing="[1, 1, 2]")
    assert found == {**first, "roi_depth": 16, "train": {"batch": 2}, "seed": 7, "spacing": [1, 1, 2]}


def test_macros_are_replaced_and_files_may_be_extended(tmp_path: Path) -> None:
    found = settings(tmp_path, {"seed": 3, "val_fraction": "%seed", "crop_pos": [1]}, {"+crop_pos": [2]})
    assert found == {"seed": 3, "val_fraction": 3, "crop_pos": [1, 2]}


def test_where_things_lie_and_how_fast_they_go_is_no_setting(tmp_path: Path) -> None:
    here = {"inferer": {"mode": "windows"}, "train": {"dataloader": {"batch_size": 2}}}
    there = {"output_dir": "x", "num_workers": "5", "device": "cpu", "resume": "true", "cache_dir": "y", "checkpoint": "z"}
    there |= {"inferer#memory": "5", "train#dataloader#num_workers": "3"}
    assert settings(tmp_path, here) == settings(tmp_path, here, **there) == here


@pytest.mark.parametrize("weights", ["random", "$@models_dir + '/mobile_sam.pt'"])
def test_a_random_encoder_and_where_a_config_looks_for_its_file_are_kept(tmp_path: Path, weights: str) -> None:
    assert settings(tmp_path, {"encoder_weights": weights}) == {"encoder_weights": weights}


def test_a_path_of_the_encoder_s_file_is_no_setting(tmp_path: Path) -> None:
    assert settings(tmp_path, {"encoder_weights": "models/sam.pth"}) == {}


def test_an_id_belongs_to_the_longest_known_one_that_it_lies_in() -> None:
    assert changed_by("inferer#overlap") is Changes.MASK
    assert changed_by("inferer#memory") is Changes.NOTHING
    assert changed_by("train#handlers#0#_target_") is Changes.TRAINING
    assert changed_by("validate#postprocessing#transforms") is Changes.MASK
    assert changed_by("my_own_width") is Changes.NETWORK


def test_what_is_chosen_leaves_out_parts_of_another_kind() -> None:
    both = {"inferer": {"mode": "whole", "memory": 5}, "seed": 1, "labels": {"0": "a"}, "input": "x"}
    assert chosen(both, Changes.MASK) == {"inferer": {"mode": "whole"}}
    assert chosen({"inferer": {"memory": 5}}, Changes.MASK) == {}
    assert chosen(both, Changes.MASK, Changes.TRAINING) == {"inferer": {"mode": "whole"}, "seed": 1}
    assert network_settings(both) == {"labels": {"0": "a"}}


def test_every_id_of_the_run_configs_is_classified() -> None:
    for name in ("train.json", "inference.json", "evaluate.json"):
        known = ConfigParser.load_config_file(str(CONFIGS / name)).keys()
        assert {key for key in known if key not in CLASSES and "#" not in key} == set(), name


def test_every_classified_id_stands_in_a_config() -> None:
    """Else it was renamed, and its new name counts as unknown."""
    known = {key.lstrip("+").partition("#")[0] for file in FILES for key in ConfigParser.load_config_file(str(file))}
    assert {identifier.partition("#")[0] for identifier in CLASSES} - known - {"_meta_"} == set()


@pytest.mark.parametrize("name", ["train.json", "inference.json"])
def test_training_and_inference_agree_on_what_the_network_is(name: str) -> None:
    config = ConfigParser.load_config_file(str(CONFIGS / name))
    assert {key for key, changes in CLASSES.items() if changes is Changes.NETWORK} <= config.keys()


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, []),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ["b was 2, now it is 3"]),
        ({"a": {"c": [1], "d": 5}}, {"a": {"c": [2], "d": 5}}, ["a#c was [1], now it is [2]"]),
        ({"a": "x" * 200}, {"a": [8] * 90}, [f"a was {'x' * 200}, now it is [{'8, ' * 52}..."]),
        ({"a": 1}, {"b": 1}, ["a was 1, now it is not set", "b was not set, now it is 1"]),
        (
            {"n": {"_target_": "UNet", "channels": 3}},
            {"n": {"_target_": "VNet", "dropout": 0}},
            ["n#_target_ was UNet, now it is VNet"],
        ),
        (
            {"regions": {"whole": [1, 2], "core": [2]}},
            {"regions": {"core": [2], "whole": [1, 2]}},
            ["regions were in the order whole, core, now they are in the order core, whole"],
        ),
    ],
)
def test_only_what_differs_is_said(before: dict[str, Any], now: dict[str, Any], said: list[str]) -> None:
    assert list(differences(before, now)) == said
