"""Which of the shared options reach a network's commands."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT

from scripts.research.comparison import Budget, ComparedNetwork, Setting, compared_network

PRESET = ROOT / "configs" / "datasets" / "phantoms.yaml"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, dict[str, object]]]:
    """Of every command of the bundle its name and the content of its last config file."""
    commands = []

    def run(words: list[str], log: Path) -> None:
        files = json.loads(words[words.index("--config_file") + 1].replace("'", '"'))
        run_id = words[words.index("run") + 1]
        commands.append((run_id, json.loads(Path(files[-1]).read_text())))

    monkeypatch.setattr(compared_network, "run_bundle", run)
    return commands


@pytest.mark.parametrize(("name", "has_views"), [("sam3d", False), ("unet", False), ("sam3d+cached", True)])
def test_an_option_reaches_the_runs_that_have_it(
    given: list[tuple[str, dict[str, object]]], tmp_path: Path, name: str, has_views: bool
) -> None:
    options = {"cached_views": [[]], "batch_size": 3, "train#dataset#data": "$@cases['training'][:5]"}
    shared = {"remember": tmp_path / "checked.json", "cache_dir": tmp_path / "embeddings"}
    network = ComparedNetwork(name, Setting(tmp_path, PRESET, Budget(max_epochs=1), options, shared=shared))
    assert network.has("cached_views") == has_views
    assert network.has("train#dataset#data") and not network.has("nonsense")
    network.run(lambda _: None)
    common = {key: options[key] for key in ("batch_size", "train#dataset#data")}
    views = {"cached_views": [[]]} if has_views else {}
    assert given == [("training", common | views), ("evaluating", common)]


def test_the_pace_is_measured_once_and_every_fold_gets_the_same_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the fold that each command works on, also where another was interrupted."""
    commands: list[tuple[str, str, str]] = []
    plans = set()

    def run(words: list[str], log: Path) -> None:
        given = dict(pairwise(words))
        folder = Path(given["--output_dir"])
        commands.append((given["run"], folder.name, given["--fold"]))
        folder.mkdir(parents=True, exist_ok=True)
        if len(commands) == 4:
            raise RuntimeError("out of memory")
        if given["run"] == "training":
            steps = [0.5] * int(given["--epoch_length"])
            cost = {"preparation_seconds": 0.0, "batches": 4, "epochs": [{"step_seconds": steps}] * 2}
            (folder / "cost.json").write_text(json.dumps(cost))
            (folder / "model.pt").touch()
            if folder.name != "probe":
                plans.add((given["--max_epochs"], given["--epoch_length"]))

    monkeypatch.setattr(compared_network, "run_bundle", run)
    shared = {"remember": tmp_path / "checked.json"}
    network = ComparedNetwork("unet", Setting(tmp_path, PRESET, Budget(minutes=0.1), {"folds": 2}, shared=shared))
    with pytest.raises(RuntimeError, match="out of memory"):
        network.run(lambda _: None)
    assert not network.is_finished
    network.run(lambda _: None)
    assert network.is_finished
    first = [("training", "probe", "0"), ("training", "fold_0", "0"), ("evaluating", "evaluation", "0")]
    assert commands == [*first, ("training", "fold_1", "1"), ("training", "fold_1", "1"), ("evaluating", "evaluation", "1")]
    assert plans == {("3", "4")}  # 12 steps of half a second


@pytest.mark.parametrize(("before", "now"), [({}, {"folds": 2}), ({"folds": 2}, {}), ({"folds": 2}, {"folds": 3})])
def test_what_was_trained_in_other_folds_is_refused(tmp_path: Path, before: dict[str, int], now: dict[str, int]) -> None:
    trained, other = (
        ComparedNetwork("unet", Setting(tmp_path, PRESET, Budget(max_epochs=1), options)) for options in (before, now)
    )
    trained.runs[0].training.mkdir(parents=True)
    (trained.runs[0].training / "last.pt").touch()
    (trained.folder / "request.json").write_text(json.dumps(trained.request))
    trained.require_the_same_request()
    with pytest.raises(ValueError, match=r"holds a run of another command \(different: --folds\)"):
        other.require_the_same_request()
