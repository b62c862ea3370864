"""What somebody might hide in a package is refused in a sentence, before anything of it runs."""

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.files.checkpoint_file import read_about, read_checkpoint, weights_digest, write_checkpoint
from scripts.packages.check_package import check_package
from scripts.packages.package_files import SUMS
from scripts.packages.package_sums import require_undamaged

from .conftest import Tamper

INFERENCE, METADATA = "configs/inference.json", "configs/metadata.json"
RUN = "open('ran', 'w')"  # what hostile code does here
Change = Callable[[dict[str, Any]], object]


def with_step(**component: Any) -> Change:
    """A transform more in the preprocessing."""
    return lambda config: config["deterministic_transforms"].append(component)


def with_entry(**entries: Any) -> Change:
    return lambda config: config.update(entries)


HOSTILE_CONFIGS: dict[str, tuple[Change, str]] = {
    "import": (lambda config: config["imports"].append("$import os"), "would run $import os"),
    "another import": (with_entry(imports=["$from os import system"]), r"would run $from os import system"),
    "os.system": (with_step(_target_="os.system", command="touch ran"), "would run os.system"),
    "eval": (with_step(_target_="builtins.eval", source=RUN), "would run builtins.eval"),
    "subprocess": (with_step(_target_="subprocess.Popen", args=["touch", "ran"]), "would run subprocess.Popen"),
    "MONAI's run": (with_step(_target_="monai.bundle.run", config_file="evil.json"), "would run monai.bundle.run"),
    "download": (with_step(_target_="monai.apps.download_url", url="http://evil"), "would run monai.apps.download_url"),
    "torch.hub": (with_step(_target_="torch.hub.load", repo_or_dir="evil/evil", model="x"), "would run torch.hub.load"),
    "a reader": (with_step(_target_="LoadImage", reader="subprocess.Popen", args=["touch", "ran"]), "would run LoadImage"),
    "a writer": (with_step(_target_="SaveImage", writer="os.system"), "would run SaveImage"),
    "a callable": (with_step(_target_="Lambda", func={"_target_": "os.system", "_mode_": "callable"}), "would run Lambda"),
    "unknown": (with_step(_target_="scripts.evil.Evil"), "would run scripts.evil.Evil"),
    "the laboratory": (with_step(_target_="scripts.research.kill_study.main"), "would run scripts.research.kill_study.main"),
    "computed component": (with_step(_target_="$__import__('os').system", command="touch ran"), "would run $__import__"),
    "component by reference": (
        lambda config: (config.update(evil="os.system"), with_step(_target_="@evil", command="touch ran")(config)),
        "would run @evil",
    ),
    "requires": (lambda config: config["network_def"].update(_requires_=f"${RUN}"), "would run $open"),
    "nested": (with_step(_target_="RandAffined", keys=["image", {"a": [f"${RUN}"]}]), "would run $open"),
    "disabled": (with_step(_target_="RandAffined", keys="image", _disabled_=f"${RUN}"), "would run $open"),
    "macro": (with_entry(labels="%../../evil.json::labels"), "would run %../../evil.json"),
    "a step elsewhere": (
        with_step(
            _target_="scripts.run.check_config.check_config", arguments=["monai.bundle", "run", "--config_file=evil.json"]
        ),
        "would run scripts.run.check_config.check_config",
    ),
    "other code": (with_entry(bundle_root="/tmp/evil"), "bundle_root must be '.'"),
    "other code in a step": (
        lambda config: config["initialize"][1].update(bundle_root="/tmp/evil"),
        "bundle_root must be '.'",
    ),
    "other weights": (with_entry(checkpoint="$@bundle_root + '/models/../../evil.pt'"), "checkpoint must lie in models"),
    "another encoder": (with_entry(encoder_weights="/tmp/evil.pth"), "encoder_weights must lie in models"),
    "another folder of weights": (with_entry(models_dir="/tmp/evil"), "models_dir is the user's to say"),
    "a folder of weights that is computed": (
        with_entry(**{"models_dir#bundle_root": "@bundle_root"}),
        "models_dir#bundle_root is the user's to say",
    ),
    "another output": (with_entry(output_dir="/etc"), "output_dir is the user's to say"),
    "an added id": (with_entry(**{"+imports": ["$import sys"]}), "'+imports' is no plain id"),
    "other labels": (with_entry(labels={"0": "background", "1": "kidney", "2": "liver", "3": "vessel"}), "says something else"),
}


@pytest.mark.parametrize("name", HOSTILE_CONFIGS)
def test_a_config_that_would_run_more_than_this_bundle_is_refused(
    packed: Path, tampered: Tamper, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, reason = HOSTILE_CONFIGS[name]
    config = json.loads((packed / INFERENCE).read_text())
    change(config)
    folder = tampered({INFERENCE: json.dumps(config)})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(reason)) as refused:
        check_package(folder)
    assert INFERENCE in str(refused.value)
    assert not Path("ran").exists()


def forged(packed: Path, name: str, old: str, new: str) -> str:
    text = (packed / name).read_text()
    assert old in text
    return text.replace(old, new, 1)


def calibrated(members: list[str], temperature: Any = 1.5) -> dict[str, str | bytes]:
    """What says so of an ensemble."""
    content = {"members": members, "temperature": temperature, "cleaning": {}, "calibration": {}}
    return {"models/ensemble.json": json.dumps(content)}


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


HOSTILE_FILES: dict[str, tuple[Callable[[Path], dict[str, str | bytes]], str]] = {
    "a key twice": (
        lambda packed: {INFERENCE: forged(packed, INFERENCE, "{", '{"run": "$import os",')},
        "'run' stands in it twice",
    ),
    "no number": (lambda packed: {INFERENCE: forged(packed, INFERENCE, "0.5,", "NaN,")}, "NaN is no number"),
    "no JSON": (lambda _: {INFERENCE: "[" * 100_000}, "is no JSON"),
    "a later version": (
        lambda packed: {METADATA: forged(packed, METADATA, '"version": "', '"version": "9')},
        "update SAM-3D",
    ),
    "no version": (lambda packed: {METADATA: forged(packed, METADATA, '"version"', '"versio"')}, "version must be one up to"),
    "a schema elsewhere": (
        lambda packed: {METADATA: forged(packed, METADATA, "github.com", "evil.org")},
        "schema must be that of MONAI",
    ),
    "swapped names": (
        lambda packed: {METADATA: forged(packed, METADATA, '"1": "liver"', '"1": "spleen"')},
        "names other structures than its networks",
    ),
    "logging": (lambda _: {"configs/logging.conf": f"[handlers]\nargs={RUN}"}, "is not this bundle's"),
    "requirement": (lambda _: {"requirements.txt": "torch==2.0\nevil==1.0\n"}, "got 'evil==1.0'"),
    "index": (lambda _: {"requirements.txt": "--index-url http://evil\n"}, "got '--index-url http://evil'"),
    "downloads": (lambda _: {"large_files.yml": "large_files: [{path: ../x, url: http://evil}]"}, "is not this bundle's"),
    "changed code": (lambda _: {"scripts/__init__.py": RUN}, "is not the code of SAM-3D"),
    "code more": (lambda _: {"scripts/evil.py": RUN}, "is not the code of SAM-3D"),
    "code that hides torch": (lambda _: {"torch.py": RUN}, "'torch.py' is no file of a package"),
    "compiled code": (lambda _: {"scripts/run/evil.so": RUN}, "'scripts/run/evil.so' is no file of a package"),
    "bytecode": (lambda _: {"scripts/__pycache__/a.cpython-311.pyc": RUN}, "delete the folders __pycache__"),
    "a pickle": (lambda _: {"models/model.pt": pickle.dumps(Evil())}, "cannot be read as a checkpoint of tensors"),
    "a calibration of other networks": (lambda _: calibrated(["0" * 64]), "is not of the networks of this package"),
    "a calibration that runs": (
        lambda packed: calibrated([weights_digest(packed / "models" / "model.pt")], f"${RUN}"),
        "ensemble.json would run $open",
    ),
    "no calibration": (lambda _: {"models/ensemble.json": "{}"}, "is not what `sam3d calibrate` writes of an ensemble"),
    "an encoder of nobody": (lambda _: {"models/encoder.pth": pickle.dumps(Evil())}, "is not the file of the slice encoder"),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_a_file_that_could_do_harm_is_refused(
    packed: Path, tampered: Tamper, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, reason = HOSTILE_FILES[name]
    folder = tampered(change(packed))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_package(folder)
    assert not Path("ran").exists()


def test_a_network_that_names_other_code_is_refused(packed: Path, tampered: Tamper, tmp_path: Path) -> None:
    about = read_about(packed / "models" / "model.pt")
    assert about is not None
    about["deterministic_transforms"].append({"_target_": "LoadImage", "reader": "subprocess.Popen", "args": "ran"})
    write_checkpoint(tmp_path / "evil.pt", read_checkpoint(packed / "models" / "model.pt"), about)
    with pytest.raises(ValueError, match=r"model\.pt would run LoadImage"):
        check_package(tampered({"models/model.pt": (tmp_path / "evil.pt").read_bytes()}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({SUMS: None}, "SHA256SUMS is missing"),
        ({SUMS: "0" * 64 + "  ../evil\n"}, "must list each file once"),
        ({SUMS: ("0" * 64 + "  LICENSE\n") * 2}, "must list each file once"),
        ({"LICENSE": "mine"}, "LICENSE is not what SHA256SUMS says"),
        ({"LICENSE": None}, "LICENSE is missing"),
        ({"scripts/__init__.py": None}, "scripts/__init__.py, which SHA256SUMS lists, is missing"),
        ({"scripts/evil.py": RUN}, "scripts/evil.py is not listed in SHA256SUMS"),
        ({"models/model.pt": None}, "'models/' is no file of a package"),
    ],
)
def test_a_package_that_is_not_as_it_was_sealed_is_refused(
    tampered: Tamper, changes: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_package(tampered(changes, sealed=False))


def test_links_are_refused_even_to_what_is_listed(tampered: Tamper, packed: Path) -> None:
    folder = tampered({"LICENSE": None}, sealed=False)
    (folder / "LICENSE").symlink_to(packed / "LICENSE")
    with pytest.raises(ValueError, match="LICENSE is a link or a device"):
        check_package(folder)


def test_a_folder_that_could_be_imported_is_refused(tampered: Tamper) -> None:
    folder = tampered({}, sealed=False)
    (folder / "torch").mkdir()
    with pytest.raises(ValueError, match="'torch/' is no file of a package"):
        check_package(folder)


def test_code_of_an_earlier_version_is_in_doubt_and_the_network_serves(tampered: Tamper, packed: Path) -> None:
    metadata = json.loads((packed / METADATA).read_text())
    folder = tampered({METADATA: json.dumps({**metadata, "version": "0.1.9"}), "scripts/__init__.py": '"""Older."""\n'})
    found = check_package(folder)
    assert found.checkpoints == [folder / "models" / "model.pt"]
    assert "is of SAM-3D 0.1.9" in found.doubts[0]


def test_a_run_in_a_package_looks_for_damage_first(packed: Path, tampered: Tamper, tmp_path: Path) -> None:
    require_undamaged(packed)
    require_undamaged(tmp_path)  # no package
    with pytest.raises(ValueError, match=r"configs/train\.json is not what SHA256SUMS says"):
        require_undamaged(tampered({"configs/train.json": "{}"}, sealed=False))
    steps = json.loads((packed / INFERENCE).read_text())["initialize"]
    assert [step["_target_"].rpartition(".")[2] for step in steps] == ["show_plain_errors", "require_undamaged", "check_config"]


def test_the_package_itself_passes(packed: Path) -> None:
    assert check_package(packed) == ([packed / "models" / "model.pt"], None, [])
