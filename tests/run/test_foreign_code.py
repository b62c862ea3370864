"""What the settings of somebody else may name."""

from typing import Any

import pytest

from scripts.run.config_files import CONFIGS, read_config
from scripts.run.foreign_code import foreign_code
from scripts.run.trained_settings import trained_settings

RANDOM_GAMMA = {"_target_": "RandAdjustContrastd", "keys": "image", "gamma": [0.5, 2.0]}


@pytest.mark.parametrize("name", ["train.json", "evaluate.json", "inference.json", "overlays/cached.yaml"])
def test_the_bundles_own_configs_are_not_foreign(name: str) -> None:
    assert foreign_code(read_config(CONFIGS / name)) is None


@pytest.mark.parametrize(
    "transform", ["RandAdjustContrastd", "ScaleIntensityRanged", "RandZoomd", "CropForegroundd", "NormalizeIntensityd"]
)
def test_monais_transforms_that_compute_are_allowed(transform: str) -> None:
    assert foreign_code({"deterministic_transforms": [{"_target_": transform, "keys": "image"}]}) is None


@pytest.mark.parametrize(
    "component",
    [
        {"_target_": "LoadImage", "reader": "subprocess.Popen", "args": ["true"]},  # calls what `reader` names
        {"_target_": "SaveImaged", "keys": "image", "writer": "os.system"},
        {"_target_": "Lambdad", "keys": "image", "func": "@network"},
        {"_target_": "TorchVisiond", "keys": "image", "name": "x"},
        {"_target_": "monai.transforms.LoadImage"},
        {"_target_": "utils"},  # a module, and no transform
        {"network_def#_target_": "os.system"},
        {"_target_": ["os.system"]},
    ],
)
def test_what_calls_or_reads_by_name_is_foreign(component: dict[str, Any]) -> None:
    assert foreign_code({"deterministic_transforms": [RANDOM_GAMMA, component]})


def test_what_a_run_does_may_stand_only_where_the_bundle_has_it() -> None:
    check = {"_target_": "scripts.run.check_config.check_config", "arguments": ["--config_file=evil.json"]}
    assert foreign_code({"deterministic_transforms": [check]}) == "scripts.run.check_config.check_config"
    assert foreign_code({"cases": "$sys.path.insert(0, @bundle_root)"}) is None  # network_def has it too
    assert foreign_code({"imports": ["$import sys"]}) is None
    assert foreign_code({"labels": "$import sys"}) == "$import sys"


def test_where_things_lie_is_not_taken_from_a_checkpoint() -> None:
    about = {
        "network_def": {"_requires_": "$sys.path.insert(0, @bundle_root)", "a": "@mine"},
        "bundle_root": "/evil",
        "mine": 3,
    }
    assert trained_settings(about) == {"network_def": about["network_def"], "mine": 3}
