"""`sam3d package` as a user runs it, and the package where SAM-3D is not installed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from monai.transforms import SaveImaged
from packages.conftest import METRICS, packed, untrained, write_run
from runs.conftest import environment

from scripts.data.phantoms import write_phantoms
from scripts.packages.package_metadata import RANDOM
from scripts.packages.requirements import INFERENCE, wrong_requirement

from .conftest import Shell, Typed

__all__ = ["environment", "packed", "untrained"]

LABELS = {"0": "background", "1": "liver", "2": "kidney", "3": "vessel"}
MISSING = ("typer", "tensorboard", "pooch", "jsonschema", "requests", "highdicom", "mlflow", "einops", "pytest")
# `python -m monai.bundle` where these are not installed
HIDING = f"""
import runpy, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Hide())
sys.path.insert(0, "")
runpy.run_module("monai.bundle", run_name="__main__")
print("code:", sys.modules["scripts"].__file__)
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    write_phantoms(folder, {"test": 1}, shape=(32, 28, 12))
    return next((folder / "images").iterdir())


def masks(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


def run_alone(words: list[str], package: Path, environment: dict[str, str]) -> str:
    env = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
    env |= {"PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(words, cwd=package, env=env, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "WARNING" not in result.stderr, result.stderr[-3000:]
    return result.stdout


def test_the_package_alone_gives_the_bytes_that_sam3d_gives(
    packed: Path, untrained: Path, image: Path, tmp_path: Path, warm: Shell, environment: dict[str, str]
) -> None:
    warm(f"sam3d segment {image} --checkpoint {packed} --output {tmp_path}/packed", cwd=tmp_path)
    words = ["run", "inference", "--config_file", "configs/inference.json", "--input", str(image)]
    said = run_alone([sys.executable, "-c", HIDING, *words, "--output_dir", f"{tmp_path}/alone"], packed, environment)
    assert said.splitlines()[-1] == f"code: {packed / 'scripts' / '__init__.py'}"
    assert len(masks(tmp_path / "alone")) == 1
    assert masks(tmp_path / "alone") == masks(tmp_path / "packed")


@pytest.mark.slow
def test_in_a_new_environment_of_its_own_requirements_it_gives_the_same_bytes(
    packed: Path, untrained: Path, image: Path, tmp_path: Path, shell: Shell, environment: dict[str, str]
) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--requirement", packed / "requirements.txt"]
    subprocess.run(install, check=True, timeout=1800)
    words = ["-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json", "--input", str(image)]
    run_alone([str(python), *words, "--output_dir", f"{tmp_path}/alone"], packed, environment)
    shell(f"sam3d segment {image} --checkpoint {untrained}/model.pt --output {tmp_path}/here", cwd=tmp_path)
    assert len(masks(tmp_path / "alone")) == 1
    assert masks(tmp_path / "alone") == masks(tmp_path / "here")


def test_it_holds_what_it_needs_and_no_more(packed: Path, untrained: Path) -> None:
    files = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    assert not [name for name in files if name.endswith(".yaml") or "research" in name or "__pycache__" in name]
    assert (packed / "models" / "model.pt").read_bytes() == (untrained / "model.pt").read_bytes()
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "scripts").rglob("*.*") if "__pycache__" not in path.parts}
    assert {name for name in code if "/research/" not in name} == {name for name in files if name.startswith("scripts/")}
    without_network = sum((packed / name).stat().st_size for name in files - {"models/model.pt"})
    assert without_network < 10e6  # of 30 MB, with the 12 MB of a decoder
    result = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=packed, capture_output=True)
    assert (result.returncode, result.stdout) == (0, b"")


def test_metadata_and_card_have_the_users_names(packed: Path) -> None:
    metadata = json.loads((packed / "configs" / "metadata.json").read_text())
    formats = metadata["network_data_format"]
    assert formats["outputs"]["pred"]["channel_def"] == LABELS
    assert formats["outputs"]["pred"]["num_channels"] == 4
    assert formats["inputs"]["image"]["spatial_shape"] == [32, 32, 8]
    assert metadata["name"] == "mine_bundle"
    assert metadata["task"] == "volumetric segmentation of liver, kidney, vessel"
    assert metadata["version"] in metadata["changelog"]
    own = json.loads((ROOT / "configs" / "metadata.json").read_text())
    assert own.keys() <= metadata.keys()
    card = (packed / "docs" / "README.md").read_text()
    assert "| liver | 2 | 0.500 |  |  | 0.250 |" in card
    assert "| all | 2 | 0.500 | 0.400 to 0.600 | | |" in card
    assert "Values in masks: 0 background, 1 liver, 2 kidney, 3 vessel." in card
    assert RANDOM not in card + metadata["description"]
    assert max(map(len, card.splitlines())) < 400


def test_requirements_are_this_environments_and_only_what_segmenting_imports(packed: Path) -> None:
    lines = (packed / "requirements.txt").read_text().splitlines()
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in lines} == set(INFERENCE)
    assert set(lines) <= set(pins)
    assert wrong_requirement("\n".join(lines)) is None


def test_the_bill_of_materials_names_every_requirement_with_its_licence(packed: Path) -> None:
    bill = json.loads((packed / "sbom.cdx.json").read_text())
    parts = {part["name"].lower().replace("_", "-"): part for part in bill["components"]}
    assert {name.lower() for name in INFERENCE} <= parts.keys()
    assert "pkg:pypi/sympy@" in parts["sympy"]["purl"]  # which torch needs
    unlicensed = [part["name"] for part in bill["components"] if part["type"] == "library" and "licenses" not in part]
    assert unlicensed == []
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(references) == len(set(references))


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # MONAI's, of every config file
def test_monai_loads_the_network_and_the_names(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packed)
    network = monai.bundle.load("mine_bundle", bundle_dir=str(packed.parent), device="cpu")
    expected = torch.load(packed / "models" / "model.pt", weights_only=True)
    state = network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    workflow: Any = monai.bundle.create_workflow(config_file="configs/inference.json", workflow_type="inference")
    assert workflow.parser["_meta_"]["network_data_format"]["outputs"]["pred"]["channel_def"] == LABELS


def test_a_random_encoder_is_said_aloud_and_needs_no_file(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", "sam3d")
    (tmp_path / "run" / "evaluation" / "metrics.json").unlink()
    said = typed("package", tmp_path / "run", "--output", tmp_path / "random", "--intended-use", "Teaching.")
    assert "in doubt: its card cannot say how good it is" in said
    assert not (tmp_path / "random.zip").exists()
    card = (tmp_path / "random" / "docs" / "README.md").read_text()
    metadata = json.loads((tmp_path / "random" / "configs" / "metadata.json").read_text())
    assert RANDOM in card
    assert metadata["description"].startswith(RANDOM)
    assert metadata["intended_use"] == "Teaching."
    assert "This network was not evaluated" in card


def test_encoder_weights_are_named_or_included_and_used_from_where_they_are(tmp_path: Path, typed: Typed) -> None:
    run, weights = tmp_path / "run", tmp_path / "my weights.pth"
    run.mkdir()
    write_run(run, "sam3d", encoder_weights=None)
    torch.save({"a": torch.zeros(1)}, weights)
    assert "the weights of the slice encoder are not at" in typed("package", run, "--output", tmp_path / "a", fails=True)
    typed("package", run, "--output", tmp_path / "named", "--encoder-weights", weights)
    typed("package", run, "--output", tmp_path / "whole", "--encoder-weights", weights, "--encoder", "include")
    named, whole = (json.loads((tmp_path / name / "configs" / "metadata.json").read_text()) for name in ("named", "whole"))
    assert named["encoder"]["sha256"] == whole["encoder"]["sha256"]
    assert (named["encoder"]["included"], whole["encoder"]["included"]) == (False, True)
    assert (tmp_path / "whole" / "models" / "encoder.pth").read_bytes() == weights.read_bytes()
    (tmp_path / "named" / "models" / "encoder.pth").write_bytes(weights.read_bytes())  # fetched
    for name in ("named", "whole"):
        typed("unpack", tmp_path / name)
        line = typed("segment", tmp_path, "--checkpoint", tmp_path / name, "--output", tmp_path / "masks", "--dry-run")
        assert f"{tmp_path}/masks/preset.json" in line
        preset = json.loads((tmp_path / "masks" / "preset.json").read_text())
        assert preset["encoder_weights"] == str(tmp_path / name / "models" / "encoder.pth")


def test_encoder_weights_are_looked_for_where_the_checkpoint_says(
    tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", "sam3d", encoder_weights="$@models_dir + '/mobile_sam.pt'")
    torch.save({"a": torch.zeros(1)}, tmp_path / "mobile_sam.pt")
    monkeypatch.setattr("scripts.tools.package.models_folder", lambda _: str(tmp_path))
    typed("package", tmp_path / "run", "--output", tmp_path / "whole", "--encoder", "include")
    assert (tmp_path / "whole" / "models" / "mobile_sam.pt").read_bytes() == (tmp_path / "mobile_sam.pt").read_bytes()


def test_slips_are_answered(packed: Path, untrained: Path, tmp_path: Path, typed: Typed) -> None:
    for words, answer in {
        ("package", untrained, "--output", packed): "is there already",
        ("package", untrained, "--output", tmp_path / "1-b"): "a package is named by letters",
        ("package", tmp_path, "--output", tmp_path / "b"): "no folds were trained in it",
        ("unpack", packed, "--output", tmp_path / "b"): "a folder is checked where it is",
        ("segment", tmp_path, "--checkpoint", packed.with_suffix(".zip")): "sam3d unpack",
    }.items():
        assert answer in re.sub(r"\s+", " ", typed(*words, fails=True)), words
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "dataset.json").write_text("{}")
    error = typed("evaluate", tmp_path, "--checkpoint", packed, fails=True)
    assert "a package stays as it is" in error


def test_a_package_that_was_changed_cannot_be_used(packed: Path, untrained: Path, tmp_path: Path, typed: Typed) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", packed, copy], check=True)
    os.chmod(copy / "models" / "model.pt", 0o644)
    with (copy / "models" / "model.pt").open("r+b") as file:
        file.seek(1000)
        file.write(b"?")
    error = typed("segment", tmp_path, "--checkpoint", copy, fails=True)
    assert "models/model.pt is not what SHA256SUMS says" in re.sub(r"[\s│]+", " ", error)


def test_a_program_that_applies_the_parts_by_itself_gets_the_same_mask(
    packed: Path, untrained: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Shell
) -> None:
    """As MONAI Label does: all of postprocessing but what saves, which it knows by its class."""
    warm(f"sam3d segment {image} --checkpoint {untrained}/model.pt --output {tmp_path}", cwd=tmp_path)
    monkeypatch.chdir(packed)
    parser = ConfigParser(ConfigParser.load_config_file("configs/inference.json"))
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load("models/model.pt", weights_only=True))
    data = parser.get_parsed_content("preprocessing")({"image": str(image)})
    with torch.no_grad():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
    for transform in parser.get_parsed_content("postprocessing").transforms:
        if not isinstance(transform, SaveImaged):
            data = transform(data)
    mask = nib.load(next(tmp_path.glob("*.nii.gz")))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), data["pred"][0].numpy())
    np.testing.assert_allclose(mask.affine, data["pred"].affine)


def test_the_folds_of_a_run_become_one_package(tmp_path: Path, typed: Typed) -> None:
    run = tmp_path / "run"
    for fold in range(2):
        write_run(run / f"fold_{fold}", "detail+no_encoder", folds=2, fold=fold)
    (run / "folds.json").write_text(json.dumps({"folds": [{}, {}]}))
    (run / "metrics.json").write_text(json.dumps({**METRICS, "folds": []}))
    (run / "ensemble").mkdir()
    (run / "ensemble" / "metrics.json").write_text(json.dumps({**METRICS, "cases": 3}))  # of nobody knows which networks
    typed("package", run, "--output", tmp_path / "folds")
    for fold in range(2):
        model = tmp_path / "folds" / "models" / f"fold_{fold}.pt"
        assert model.read_bytes() == (run / f"fold_{fold}" / "model.pt").read_bytes()
    card = (tmp_path / "folds" / "docs" / "README.md").read_text()
    assert "averages 2 networks" in card
    assert "Measured on 2 cases by `sam3d train --folds`: each network alone, on the cases that it was not trained on." in card
    line = typed("segment", tmp_path, "--checkpoint", tmp_path / "folds", "--output", tmp_path / "masks", "--dry-run")
    assert f"{tmp_path}/folds/models/fold_1.pt" in line
