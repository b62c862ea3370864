"""The comparison on phantoms: the same data and budget, one table, whatever is done stays done."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from runs.conftest import run_forked
from runs.test_training import stop_after
from typer.main import get_command

from scripts.__main__ import app
from scripts.research.comparison import compared_network as network
from scripts.research.comparison.bundle_process import last_words

PRESET = """\
labels: {"0": background, "1": liver, "2": kidney, "3": vessel}
encoder_variant: {embed_dim: 32, depth: 3, num_heads: 2, global_attn_indexes: [1]}
spatial_size: [32, 32]
roi_depth: 8
num_workers: 0
nsd_tolerance: 2.0
nsd_unit: voxel
"""
LIGHT = "network_def#decoder#channels: [16, 8, 8, 4]\n"
NARROW = """\
network_def:
  _target_: scripts.networks.AnySize
  multiple: [4, 4, 4]
  network:
    _target_: monai.networks.nets.UNet
    spatial_dims: 3
    in_channels: "@modalities"
    out_channels: "$len(@labels)"
    channels: [4, 8, 8]
    strides: [2, 2]
"""
BROKEN = "network_def: {_target_: scripts.networks.Nothing}\n"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What is run from now on, in processes that have imported everything. A test may change what is to be run."""
    seen: list[list[str]] = []

    def run_bundle(command: Sequence[str], log: Path) -> None:
        words = command[2:]  # after -m monai.bundle
        seen.append(words)
        result = run_forked(words, tmp_path_factory.mktemp("output"))
        log.write_text(result.stdout + result.stderr)
        if result.returncode:
            raise RuntimeError(last_words(result.stdout + result.stderr))

    monkeypatch.setattr(network, "run_bundle", run_bundle)
    return seen


@pytest.fixture
def arguments(phantoms: Path, tmp_path: Path) -> list[str]:
    for name, text in {"preset": PRESET, "light": LIGHT, "narrow": NARROW, "broken": BROKEN}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    words = [phantoms, "--preset", tmp_path / "preset.yaml", "--output", tmp_path / "out"]
    return [*map(str, words), "--encoder-weights", "random", "--set", "learning_rate=0.01"]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sam3d", "compare", *words])
    with pytest.raises(SystemExit) as ended:
        get_command(app)()
    return ended.value.code


def test_all_get_the_same_budget_one_failure_costs_itself_and_nothing_is_done_twice(
    commands: list[list[str]], arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, light, narrow = tmp_path / "out", f"{tmp_path / 'light.yaml'}+cached", tmp_path / "narrow.yaml"
    names = f"{light},{tmp_path / 'broken.yaml'},{narrow}"
    assert run(monkeypatch, *arguments, "--networks", names, "--max-epochs", "2") == 1
    assert len(commands) == 2 + 1 + 2
    lines = list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))
    assert [line["network"] for line in lines] == ["light+cached", "narrow"]
    for line in lines:
        assert int(line["steps"]) == 2 * 2  # four phantoms, two in a batch
        folder = out / line["network"]
        expected = json.loads((folder / "evaluation" / "metrics.json").read_text())["mean_dice"]
        assert float(line["dice"]) == pytest.approx(expected, abs=1e-5)
        assert torch.load(folder / "training" / "last.pt", weights_only=True)["best_metric_epoch"] == 2  # the last one
    assert {command[command.index("--val_interval") + 1] for command in commands if "training" in command} == {"2"}
    markdown = (out / "comparison.md").read_text()
    assert "scripts.networks.Nothing, which does not exist" in markdown
    assert "random, seed 0 (**not pretrained**)" in markdown
    assert (out / "accuracy.png").exists()

    commands.clear()
    assert run(monkeypatch, *arguments, "--networks", f"{narrow},{light}", "--max-epochs", "2") == 0
    assert commands == []
    assert "difference to narrow" in (out / "comparison.md").read_text()
    assert run(monkeypatch, *arguments, "--networks", str(narrow), "--max-epochs", "3") == 2  # another budget
    assert commands == []
    (tmp_path / "broken.yaml").write_text(NARROW)
    assert run(monkeypatch, *arguments, "--networks", str(tmp_path / "broken.yaml"), "--max-epochs", "2") == 0


def test_minutes_become_steps_and_an_interrupted_training_goes_on(
    commands: list[list[str]], arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*arguments, "--networks", str(tmp_path / "narrow.yaml"), "--minutes", "0.03"]
    run_bundle, stop = network.run_bundle, stop_after(1, tmp_path)

    def interrupted(command: list[str], log: Path) -> None:
        files = command[command.index("--config_file") + 1]
        if "evaluating" in command:
            raise KeyboardInterrupt
        if not any("probe" in word for word in command):
            command = [f"{files[:-1]}, '{stop}']" if word == files else word for word in command]
        run_bundle(command, log)

    monkeypatch.setattr(network, "run_bundle", interrupted)
    monkeypatch.setattr(
        "scripts.research.comparison.budget.seconds_a_step", lambda probe: 0.3
    )  # whatever else the machine does
    assert run(monkeypatch, *words) == 130
    monkeypatch.setattr(network, "run_bundle", run_bundle)
    folder = tmp_path / "out" / "narrow"
    plan = json.loads((folder / "plan.json").read_text())["options"]
    assert not (folder / "probe").exists()
    assert plan["max_epochs"] > 1
    assert plan["max_epochs"] * plan["epoch_length"] == 6  # of 0.3 seconds in 0.03 minutes
    before = json.loads((folder / "training" / "cost.json").read_text())

    commands.clear()
    assert run(monkeypatch, *words) == 0
    assert [command[1] for command in commands] == ["training", "evaluating"]
    cost = json.loads((folder / "training" / "cost.json").read_text())
    assert cost["steps"] == plan["max_epochs"] * plan["epoch_length"]
    assert cost["epochs"][0] == before["epochs"][0]


def test_folds_give_one_row_of_all_cases_and_those_that_are_done_stay(
    commands: list[list[str]], arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*arguments, "--networks", str(tmp_path / "narrow.yaml"), "--max-epochs", "1", "--folds", "2"]
    run_bundle, out = network.run_bundle, tmp_path / "out"

    def interrupted(command: list[str], log: Path) -> None:
        if str(out / "narrow" / "fold_1") in command:
            raise KeyboardInterrupt
        run_bundle(command, log)

    monkeypatch.setattr(network, "run_bundle", interrupted)
    assert run(monkeypatch, *words) == 130
    monkeypatch.setattr(network, "run_bundle", run_bundle)
    assert [command[1] for command in commands] == ["training", "evaluating"]
    assert not (out / "comparison.csv").exists()
    assert run(monkeypatch, *words) == 0
    assert [command[1] for command in commands] == ["training", "evaluating"] * 2
    assert [command[command.index("--fold") + 1] for command in commands] == ["0", "0", "1", "1"]

    (line,) = csv.DictReader((out / "comparison.csv").read_text().splitlines())
    folds = [out / "narrow" / f"fold_{fold}" for fold in range(2)]
    costs = [json.loads((fold / "cost.json").read_text()) for fold in folds]
    assert int(line["steps"]) == sum(cost["steps"] for cost in costs) == 2
    assert float(line["training_minutes"]) == pytest.approx(sum(cost["seconds"] for cost in costs) / 60)
    held_out = [Path(case).name for fold in json.loads((out / "folds.json").read_text())["folds"] for case in fold["cases"]]
    assert len(set(held_out)) == 4
    measured = [json.loads((fold / "evaluation" / "report.json").read_text()) for fold in folds]
    assert [Path(entry["file"]).name for entries in measured for entry in entries] == held_out
    means = json.loads((out / "narrow" / "metrics.json").read_text())
    assert means["cases"] == 4
    assert float(line["dice"]) == pytest.approx(means["mean_dice"], abs=1e-5)
    for name, values in means["classes"].items():
        for measure in ("dice", "nsd"):
            assert float(line[f"{measure} {name}"]) == pytest.approx(values[measure]["mean"], abs=1e-5)
    markdown = (out / "comparison.md").read_text()
    assert "2 folds, the same for all" in markdown
    assert "4 cases" in markdown

    commands.clear()
    assert run(monkeypatch, *words[:-1], "3") == run(monkeypatch, *words[:-2]) == 2  # other folds, or none
    assert commands == []
    assert run(monkeypatch, *words) == 0
    assert commands == []


@pytest.mark.slow
def test_the_command_as_a_user_runs_it(arguments: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    names = f"sam3d,sam3d+cached,{tmp_path / 'narrow.yaml'}"
    words = [sys.executable, "-m", "scripts", "compare", *arguments, "--networks", names, "--minutes", "0.05"]
    result = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[3 of 3]" in result.stdout
    assert len(list(csv.DictReader((tmp_path / "out" / "comparison.csv").read_text().splitlines()))) == 3
