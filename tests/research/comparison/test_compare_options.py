"""What the command line of `python -m scripts.research.comparison.compare` refuses before anything is trained."""

import sys
from pathlib import Path

import pytest
from conftest import ROOT

from scripts.research.comparison import compare

HIPPOCAMPUS = str(ROOT / "configs" / "datasets" / "hippocampus.yaml")


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What is said of options that replace or follow good ones."""
    (tmp_path / "dataset.json").write_text("{}")

    def run(*others: str, **replaced: str) -> str:
        good = {"dataset_dir": tmp_path, "preset": HIPPOCAMPUS, "networks": "sam3d", "output_dir": tmp_path / "out"}
        words = [str(word) for key, value in {**good, **replaced}.items() for word in (f"--{key}", value)]
        monkeypatch.setattr(sys, "argv", ["compare", *words, *others])
        monkeypatch.setattr(compare, "compare", lambda *_: pytest.fail("it began to train"))
        with pytest.raises(SystemExit, match="2"):
            compare.main()
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    return run


def test_what_cannot_be_meant_is_refused_in_words(refusal) -> None:
    epochs = ("--max_epochs", "3")
    assert "did you mean unet" in refusal(*epochs, networks="sam3d,unnet")
    assert "would share a folder" in refusal(*epochs, networks="unet,unet")
    assert "no file" in refusal(*epochs, preset="nowhere.yaml")
    assert "dataset.json" in refusal(*epochs, dataset_dir="nowhere")
    assert "no file nowhere.json" in refusal(*epochs, "--config_file", "nowhere.json")
    assert "either max_epochs or minutes" in refusal()
    assert "either max_epochs or minutes" in refusal(*epochs, "--minutes", "3")
    assert "--resume is what this tool decides itself" in refusal(*epochs, "--resume", "true")
    assert "--resume is what this tool decides itself" in refusal(*epochs, "--resume=true")
    assert "come in pairs" in refusal(*epochs, "--device")
