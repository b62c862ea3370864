"""What `sam3d compare` refuses before anything is trained, and the names of the laboratory's networks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from typer.main import get_command

from scripts.__main__ import app
from scripts.research import comparison
from scripts.run.config_files import network_configs

CONFIGS = ROOT / "configs"


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What is said of options that replace or follow good ones."""
    (tmp_path / "dataset.json").write_text("{}")

    def run(*others: str, data: str | Path = tmp_path, preset: str = "hippocampus", networks: str = "sam3d") -> str:
        words = ["compare", data, "--preset", preset, "--networks", networks, "--output", tmp_path / "out", *others]
        monkeypatch.setattr(comparison, "compare_networks", lambda *_: pytest.fail("it began to train"))
        with pytest.raises(SystemExit, match="2"):
            get_command(app)([*map(str, words)])
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    return run


def test_what_cannot_be_meant_is_refused_in_words(refusal: Callable[..., str]) -> None:
    epochs = ("--max-epochs", "3")
    assert "did you mean unet" in refusal(*epochs, networks="sam3d,unnet")
    assert "would share a folder" in refusal(*epochs, networks="unet,unet")
    assert "no file" in refusal(*epochs, preset="nowhere.yaml")
    assert "no folder nowhere" in refusal(*epochs, data="nowhere")
    assert "no dataset.json" in refusal(*epochs, data=ROOT)
    assert "no file nowhere.json" in refusal(*epochs, "--config", "nowhere.json")
    assert "either max_epochs or minutes" in refusal()
    assert "either max_epochs or minutes" in refusal(*epochs, "--minutes", "3")
    assert "resume: this command decides it" in refusal(*epochs, "--set", "resume=true")
    assert "fold, folds: this command decides it" in refusal(*epochs, "--set", "folds=2", "--set", "fold=0")
    assert "must be ID=VALUE" in refusal(*epochs, "--set", "device")
    assert "cached_views: none of sam3d has this option" in refusal(*epochs, "--set", "cached_views=[[]]")
    assert "has no pace of sam3d" in refusal("--minutes", "3", "--pace", ROOT / "pyproject.toml")
    assert "give minutes with it" in refusal(*epochs, "--pace", ROOT / "pyproject.toml")


def test_its_help_imports_nothing_heavy() -> None:
    code = "import sys; from scripts.research.tools import compare; print({'torch', 'monai', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


def test_every_network_of_the_laboratory_can_be_named() -> None:
    for path in (CONFIGS / "research" / "networks").glob("*.yaml"):
        assert network_configs(path.stem) == [path]
    assert network_configs("unet+joint_dice+dca+cached") == [
        CONFIGS / "research" / "networks" / "unet.yaml",
        CONFIGS / "overlays" / "joint_dice.yaml",
        CONFIGS / "research" / "overlays" / "dca.yaml",
        CONFIGS / "overlays" / "cached.yaml",
    ]
    with pytest.raises(ValueError, match=r"did you mean unet or .*\? There are sam3d, .*unet"):
        network_configs("unnet")
