"""`make demo`, and the commands of the README on real data where that is at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SHARED

from .conftest import Command, assert_lies_on_its_image, run_forked


@pytest.mark.slow
def test_the_demo_segments_unseen_phantoms_with_the_full_encoder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts", "demo", "--output", str(tmp_path / "demo")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert json.loads((tmp_path / "demo" / "evaluation" / "metrics.json").read_text())["mean_dice"] >= 0.85
    assert len(list((tmp_path / "demo" / "masks").glob("*_seg.nii.gz"))) == 6
    assert "RANDOM encoder" in result.stdout


def test_the_demo_does_not_empty_a_folder_that_is_not_its_own(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (tmp_path / "phantoms").mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    result = run_forked(["demo", "--output", str(tmp_path)], tmp_path_factory.mktemp("output"), module="scripts")
    assert result.returncode != 0
    assert "not empty" in result.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hippocampus", "acdc"])
def test_real_volumes_go_through_training_and_inference(bundle_run: Command, tmp_path: Path, name: str) -> None:
    """With a narrow encoder for speed; some real cases, their own preset."""
    source = SHARED / name
    if not source.is_dir():
        pytest.skip(f"the data set {name} is not at {source}")
    content = json.loads((source / "dataset.json").read_text())
    data = tmp_path / "data"
    for part, count in (("training", 6), ("validation", 3)):
        content[part] = content[part][:count]
        for case in content[part]:
            for file in case.values():
                (data / file).parent.mkdir(parents=True, exist_ok=True)
                (data / file).write_bytes((source / file).read_bytes())
    content["test"] = []
    (data / "dataset.json").write_text(json.dumps(content))
    preset = tmp_path / "preset.yaml"  # after the narrow overlay, which is for phantoms
    preset.write_text((ROOT / "configs" / "datasets" / f"{name}.yaml").read_text() + "\nmax_epochs: 2\nval_interval: 1\n")
    training = tmp_path / "training"
    bundle_run("training", ["train.json"], last=[preset], dataset_dir=data, output_dir=training)
    bundle_run(
        "inference",
        ["inference.json"],
        last=[preset],
        input=data / "dataset.json",
        output_dir=tmp_path / "masks",
        checkpoint=training / "model.pt",
    )
    entries = json.loads((tmp_path / "masks" / "report.json").read_text())
    assert len(entries) == 3
    for entry in entries:
        assert_lies_on_its_image(entry)
