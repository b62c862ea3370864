"""`sam3d info`: what is here and what a checkpoint knows, as text and as JSON from the same data."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from markdown_tables import read_tables

from scripts.__main__ import COMMANDS, find_command
from scripts.files.checkpoint_file import write_checkpoint
from scripts.run.config_files import networks, overlays, presets
from scripts.tools import info
from scripts.weights import encoder_files

from .conftest import Typed

ABOUT = {
    "labels": {"0": "background", "1": "liver"},
    "modalities": 2,
    "axcodes": "RAS",
    "spacing": [1.0, 1.0, 3.0],
    "network_def": {"_target_": "scripts.networks.SAM3D", "decoder": {"_target_": "scripts.networks.ResidualDecoder"}},
    "encoder_variant": "vit_b",
    "encoder_weights": "random",
    "max_epochs": 3,
    "calibration": {"coverage": 0.9, "cases": 12, "structures": []},
}


def values(facts: Any) -> Iterator[str]:
    """All that is no container."""
    for item in facts.values() if isinstance(facts, dict) else facts:
        if isinstance(item, dict | list):
            yield from values(item)
        elif item is not None:
            yield str(item)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a training run that was evaluated."""
    write_checkpoint(tmp_path / "model.pt", {"a": torch.zeros(2)}, ABOUT)
    state = {"network": {}, "epoch": 3, "complete": True, "best_metric": 0.75, "best_metric_epoch": 2}
    write_checkpoint(tmp_path / "last.pt", state, ABOUT)
    (tmp_path / "evaluation").mkdir()
    figures = {"cases": 5, "mean_dice": 0.5, "mean_dice_interval": [0.25, 0.625], "classes": {}}
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(figures))
    return tmp_path


def test_the_text_says_all_that_the_json_does(typed: Typed) -> None:
    facts, text = json.loads(typed("info", "--json")), typed("info")
    assert facts["version"] == json.loads((ROOT / "configs" / "metadata.json").read_text())["version"]
    assert facts["bundle"] == str(ROOT)
    assert (facts["installed"], facts["models_dir"]) == ("as a folder", f"{ROOT}/models")
    assert facts["versions"]["torch"] == torch.__version__
    assert [*facts["commands"]] == [name for name in COMMANDS if find_command(name)]
    assert facts["weights"].keys() == encoder_files.BY_NAME.keys()
    assert [value for value in values(facts) if value not in text] == []


def test_every_preset_network_and_overlay_has_a_sentence_of_its_own(typed: Typed) -> None:
    facts = json.loads(typed("info", "--json"))
    for kind, files in {"presets": presets(), "networks": networks(), "overlays": overlays()}.items():
        assert files.keys() <= facts[kind].keys()
        assert [name for name, words in facts[kind].items() if not 15 < len(words) < 250 or "\n" in words] == []
    assert facts["overlays"]["multi_gpu"] == "Several processes, one for each GPU (nccl), or on CPUs (gloo)"
    assert facts["presets"]["synapse"].endswith("CT of 512 x 512 pixels in the plane")  # not cut after "et al."


def test_weights_are_told_apart_by_their_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed) -> None:
    for name in ("sam_vit_b_01ec64.pth", "mobile_sam.pt", "medsam_vit_b.pth"):
        (tmp_path / name).write_bytes(name.encode())
    right = replace(encoder_files.BY_NAME["mobile_sam"], sha256=hashlib.sha256(b"mobile_sam.pt").hexdigest())
    published = [right if entry.name == "mobile_sam" else entry for entry in encoder_files.ENCODER_FILES]
    monkeypatch.setattr(encoder_files, "ENCODER_FILES", published)
    monkeypatch.setattr(info, "models_folder", lambda _: str(tmp_path))
    found = {name: entry["state"] for name, entry in json.loads(typed("info", "--json"))["weights"].items()}
    assert {name: state for name, state in found.items() if state != "missing"} == {
        "vit_b": "wrong",
        "mobile_sam": "verified",
        "medsam": "unverified",
    }


def test_trained_networks_beside_the_weights_are_listed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed
) -> None:
    (tmp_path / "models" / "liver").mkdir(parents=True)
    (run / "model.pt").rename(tmp_path / "models" / "liver" / "model.pt")
    (tmp_path / "models" / "mobile_sam.pt").write_bytes(b"weights of an encoder")
    monkeypatch.setattr(info, "BUNDLE_ROOT", tmp_path)
    facts = json.loads(typed("info", "--json"))
    assert facts["models"] == {"liver/model.pt": {"classes": "background, liver", "modalities": 2}}


def test_a_checkpoint_says_what_it_knows(run: Path, typed: Typed) -> None:
    (facts,) = json.loads(typed("info", run, "--json"))["checkpoints"]
    assert facts["sha256"] == hashlib.sha256((run / "model.pt").read_bytes()).hexdigest()
    assert (facts["classes"], facts["modalities"], facts["spacing"]) == (["background", "liver"], 2, [1.0, 1.0, 3.0])
    assert facts["components"] == ["SAM3D", "ResidualDecoder"]
    assert facts["encoder"] == {"variant": "vit_b", "weights": "random"}
    assert facts["validation"] == {"best_metric": 0.75, "best_metric_epoch": 2, "epoch": 3, "complete": True}
    assert facts["evaluation"] == {"cases": 5, "mean_dice": 0.5, "mean_dice_interval": [0.25, 0.625]}
    assert facts["calibration"] == {"coverage": 0.9, "cases": 12}
    assert facts["settings"] == ABOUT
    text = typed("info", "--checkpoint", run / "model.pt")
    assert "settings" not in text
    assert [value for value in values({**facts, "settings": {}}) if value not in text] == []


def test_of_folds_each_checkpoint_is_there_and_the_figures_of_all(run: Path, tmp_path: Path, typed: Typed) -> None:
    folds = tmp_path / "folds"
    for fold in range(2):
        (folds / f"fold_{fold}").mkdir(parents=True)
        (folds / f"fold_{fold}" / "model.pt").write_bytes((run / "model.pt").read_bytes())
    (folds / "folds.json").write_text(json.dumps({"folds": [{"cases": []}] * 2}))
    (folds / "metrics.json").write_bytes((run / "evaluation" / "metrics.json").read_bytes())
    facts = json.loads(typed("info", folds, "--json"))
    assert [Path(one["file"]).parent.name for one in facts["checkpoints"]] == ["fold_0", "fold_1"]
    assert facts["evaluation"]["mean_dice"] == 0.5
    (folds / "fold_1" / "model.pt").unlink()
    assert "have no model.pt yet" in typed("info", folds, fails=True)


def test_a_checkpoint_of_others_is_known_by_its_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "file.pth")
    digest = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()
    assert "others: it says nothing of itself" in typed("info", tmp_path / "file.pth")
    monkeypatch.setitem(encoder_files.BY_SHA256, digest, encoder_files.BY_NAME["mobile_sam"])
    assert "others: the published file of mobile_sam" in typed("info", tmp_path / "file.pth")


def test_what_is_no_run_or_damaged_is_refused_in_a_sentence(run: Path, typed: Typed) -> None:
    assert "holds no model.pt of a training run" in typed("info", run / "evaluation", fails=True)
    assert "leave one of them out" in typed("info", run, "--checkpoint", run / "model.pt", fails=True)
    content = (run / "model.pt").read_bytes()
    (run / "model.pt").write_bytes(content[:-1])
    assert "it is damaged or incomplete" in typed("info", run, fails=True)


def test_the_page_for_programs_has_every_exit_code() -> None:
    section = (ROOT / "AGENTS.md").read_text().split("\n## Exit codes")[1].split("\n## ")[0]
    rows = read_tables(f"\n## Exit codes{section}")["Exit codes"]
    assert {int(row["code"]): row["meaning"] for row in rows} == info.EXIT_CODES
