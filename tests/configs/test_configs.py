"""The configs name things that exist, agree with each other, and have what MONAI's tools look for."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
from conftest import ROOT
from monai.bundle import ComponentLocator, ConfigParser, ConfigWorkflow

from scripts.data.cases.label_values import label_values
from scripts.run.merge_configs import CHOOSES, NEEDS

CONFIGS = ROOT / "configs"
ALL = sorted(path for path in CONFIGS.rglob("*") if path.suffix in (".json", ".yaml"))
OVERLAYS = [path for path in ALL if path.suffix == ".yaml"]
OVER_A_HOST = {"dca", "skip_control"}  # these change what networks/unet.yaml and its like have
PRESETS = sorted((CONFIGS / "datasets").glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / name).read_text())


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with the key it stands under."""
    yield key, node
    if isinstance(node, dict):
        for name, child in node.items():
            yield from walk(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child, key)


def resolves(config: ConfigParser, identifier: str) -> bool:
    try:
        config[identifier]
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return True


def is_argument(config: ConfigParser, identifier: str) -> bool:
    """Of a component in the configs, which does not name it yet."""
    component, _, name = identifier.rpartition("#")
    target = config[component]["_target_"] if component and resolves(config, f"{component}#_target_") else None
    return target is not None and name in inspect.signature(locate(target)).parameters


def test_what_training_and_inference_share_is_equal() -> None:
    train, inference = load("train.json"), load("inference.json")
    own = {
        "cases",
        "imports",
        "initialize",
        "network",
        "output_dir",
        "run",
    }  # inference loads a checkpoint, and neither writes where the other does
    shared = train.keys() & inference.keys() - own
    assert {"labels", "deterministic_transforms", "network_def", "inferer", "intensity", "spatial_size"} <= shared
    assert {key: train[key] for key in shared} == {key: inference[key] for key in shared}


def test_what_evaluation_and_inference_share_is_equal() -> None:
    evaluate, inference = load("evaluate.json"), load("inference.json")
    compared = [config["network"]["ensemble_of"].pop("disagreement") for config in (evaluate, inference)]
    assert compared == [True, "$@calibration is not None"]  # it is what a calibration is made from, and then used by it
    own = {
        "output_dir",
        "cases",
        "records",
        "segmentation",
        "run",
        "before_argmax",
        "report_page",
    }  # what they segment, and what follows
    shared = evaluate.keys() & inference.keys() - own
    assert {"network", "checkpoint", "temperature", "cleaning", "calibration", "quality"} <= shared
    assert {key: evaluate[key] for key in shared} == {key: inference[key] for key in shared}
    steps = json.dumps(inference["postprocessing"]["transforms"]).replace("@preprocessing", "@validate#preprocessing")
    assert (
        json.loads(steps.replace('"@output_dir"', "\"$@output_dir + '/masks'\""))
        == evaluate["validate#postprocessing#transforms"]
    )


@pytest.mark.parametrize(("name", "workflow"), [("train.json", "train"), ("inference.json", "infer")])
def test_monais_properties_are_all_there(name: str, workflow: str) -> None:
    bundle = ConfigWorkflow(str(CONFIGS / name), workflow_type=workflow, logging_file=False)
    bundle.parser.parse(reset=True)  # spells references as MONAI compares them
    required = [p["id"] for p in bundle.properties.values() if p["required"]]
    assert not [identifier for identifier in required if identifier not in bundle.parser]
    wrong = [name for name, p in bundle.properties.items() if not p["required"] and not bundle._check_optional_id(name, p)]
    assert not wrong


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_target_exists_and_nothing_is_imported_from_the_bundle_by_expression(path: Path) -> None:
    for key, value in walk(ConfigParser.load_config_file(str(path))):
        if key == "_target_":
            found = ComponentLocator().get_component_module_name(value) if "." not in value else locate(value)
            assert found, value
        assert not (isinstance(value, str) and value.startswith("$import scripts"))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.name)
def test_overlays_are_short_and_change_only_what_exists(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 30
    base = ConfigParser()
    host = ["research/networks/unet.yaml"] if path.stem in OVER_A_HOST else []
    host += ["overlays/sam2.yaml"] if path.stem == "sam2_levels" else []
    base.read_config([str(CONFIGS / name) for name in ("inference.json", "train.json", "evaluate.json", *host)])
    content = ConfigParser.load_config_file(str(path))
    leaves = [leaf for _, leaf in walk(content) if isinstance(leaf, str)]
    for identifier, value in content.items():
        optional = identifier in {"+initialize", "finalize", NEEDS, CHOOSES}
        used = any(re.search(rf"@{identifier}\b", leaf) for leaf in leaves)  # a new id, for this overlay's own use
        runs = isinstance(value, list) and any(str(item).startswith("$") for item in value)  # a new command
        known = resolves(base, identifier.removeprefix("+")) or is_argument(base, identifier)
        assert optional or used or runs or known, f"{identifier} is no id of the configs"
        for _, leaf in walk(value):
            assert not (isinstance(leaf, str) and leaf.replace("e-", "").replace("e", "").isdigit()), f"write {leaf} as 1.0e-4"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_preset_says_all_that_depends_on_the_data(path: Path) -> None:
    preset = ConfigParser.load_config_file(str(path))
    expected = {"labels", "modalities", "axcodes", "spacing", "intensity", "spatial_size", "roi_depth"}
    assert expected | {"nsd_tolerance", "nsd_unit", "spacing_known"} <= preset.keys()
    assert label_values(preset["labels"])[0] == 0
    assert all(size % 16 == 0 for size in preset["spatial_size"])


def test_large_files_are_all_verified_by_sha256() -> None:
    for entry in ConfigParser.load_config_file(str(ROOT / "large_files.yml"))["large_files"]:
        assert entry["hash_type"] == "sha256"
        assert len(entry["hash_val"]) == 64


def test_the_metadata_names_all_required_packages_and_no_other() -> None:
    pins = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().split())
    metadata = load("metadata.json")
    own = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}  # of MONAI's schema
    assert {package: pins.pop(package) for package in own} == {package: metadata[key] for package, key in own.items()}
    assert metadata["required_packages_version"] == pins
    assert metadata["version"] in metadata["changelog"]
