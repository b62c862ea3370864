"""Which of the shared options reach a network's commands."""

import json
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
