"""Own data in three commands: whatever the layout, `dataset` and `preset` write what training accepts."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.data import read_datalist
from scripts.tools import dataset, preset

CASES = 4
PHANTOMS = {f"p{i:02d}": i for i in range(CASES)}
SAGITTAL = np.array([[0, 0, 4.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])  # stored A, S, R; slices 4 mm apart

Tool = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs a tool in this process; what it printed, or the words with which it ended if `fails`."""

    def run(tool: Any, *words: str | Path, fails: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["tool", *map(str, words)])
        if not fails:
            tool.main()
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as caught:
            tool.main()
        assert caught.value.code not in (0, None)
        return f"{caught.value.code} {capsys.readouterr().err}"

    return run


def write(path: Path, array: np.ndarray, affine: np.ndarray = SAGITTAL) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def write_case(images: list[Path], label: Path | None, seed: int, low: float = 0) -> None:
    """A ball of value 3 in a box of value 7, 12 slices of 40 x 24."""
    generator = np.random.default_rng(seed)
    truth = np.zeros((40, 24, 12), np.uint8)
    truth[5:30, 4:20, 2:10] = 7
    truth[10:20, 8:14, 4:8] = 3
    for image in images:
        write(image, (low + 30.0 * truth + generator.normal(100, 5, truth.shape)).astype(np.int16))
    if label:
        write(label, truth)


def nnunet(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        write_case([folder / f"imagesTr/{name}_000{i}.nii.gz" for i in (0, 1)], folder / f"labelsTr/{name}.nii.gz", seed)
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a: b": 3, "all": [3, 7], "no": 7}}
    (folder / "dataset.json").write_text(json.dumps(content | {"numTraining": CASES, "file_ending": ".nii.gz"}))
    return ["--overwrite"]


def bids(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        images = [folder / f"sub-{name}/anat/sub-{name}_{kind}.nii.gz" for kind in ("FLAIR", "T1w")]
        write_case(images, folder / f"derivatives/labels/sub-{name}/sub-{name}_dseg.nii.gz", seed)
    return ["--label_names", "3=a: b,7=no"]


def beside(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        write_case([folder / f"Hüfte {name} it's.nii.gz"], folder / f"Hüfte {name} it's_seg.nii.gz", seed, low=-1100)
    return ["--label_names", "3=a: b,7=no"]


def folder_each(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        write_case([folder / name / "image.nii.gz"], folder / name / "label.nii.gz", seed)
    return ["--label_names", "3=a: b,7=no"]


@pytest.mark.parametrize(
    ("layout", "modalities", "scaling"),
    [
        (nnunet, ["T1", "T2"], "ScaleIntensityRangePercentilesd"),
        (bids, ["FLAIR", "T1w"], "ScaleIntensityRangePercentilesd"),
        (beside, ["unknown"], "ScaleIntensityRanged"),
        (folder_each, ["unknown"], "ScaleIntensityRangePercentilesd"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_folder_becomes_batches_of_a_training(
    tmp_path: Path, run: Tool, layout: Callable[[Path], list[str]], modalities: list[str], scaling: str
) -> None:
    data, mine = tmp_path / "data", tmp_path / "mine.yaml"
    run(dataset, data, *layout(data))
    content = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    assert content["labels"] == {"0": "background", "3": "a: b", "7": "no"}
    assert list(content["modality"].values()) == modalities
    assert {part: len(listed.cases) for part, listed in read_datalist(data).items()} == {"training": 3, "validation": 1}

    printed = run(preset, data, "--output", mine)
    assert str(mine) in printed
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "train.json"), str(mine)])
    config["dataset_dir"], config["bundle_root"], config["output_dir"] = str(data), str(ROOT), str(tmp_path / "run")
    assert config["labels"] == content["labels"]
    assert (config["axcodes"], config["spatial_size"], config["roi_depth"]) == ("ASR", [112, 64], 12)
    assert config["intensity"]["_target_"] == scaling
    case = config.get_parsed_content("train#preprocessing")(read_datalist(data)["training"].cases[0])[0]
    assert case["image"].shape == (len(modalities), 112, 64, 12)
    assert case["label"].shape == (1, 112, 64, 12)
    assert 0 < float(case["image"].mean()) < 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder_each(tmp_path / "data")
    return tmp_path / "data"


def test_a_second_run_gives_the_same_file_and_keeps_names_given_before(data: Path, run: Tool) -> None:
    run(dataset, data, "--label_names", "3=ball")
    first = (data / "dataset.json").read_text()
    assert "give --overwrite" in run(dataset, data, fails=True)
    run(dataset, data, "--overwrite")
    assert (data / "dataset.json").read_text() == first
    assert {path.name for path in data.glob("*.json")} == {"dataset.json"}


def test_a_dataset_json_of_other_origin_is_kept_beside(data: Path, run: Tool) -> None:
    foreign = '{"labels": {"0": "background", "3": "ball", "7": "box"}, "modality": {"0": "CT"}}'
    (data / "dataset.json").write_text(foreign)
    message = run(dataset, data, fails=True)
    assert "--overwrite" in message
    assert (data / "dataset.json").read_text() == foreign
    run(dataset, data, "--overwrite")
    assert (data / "dataset_original.json").read_text() == foreign
    content = json.loads((data / "dataset.json").read_text())
    assert (content["labels"]["7"], content["modality"]) == ("box", {"0": "CT"})
    (data / "dataset.json").write_text(foreign)
    assert "move one of them away" in run(dataset, data, "--overwrite", fails=True)


def test_all_problems_are_listed_at_once_and_nothing_is_written(data: Path, run: Tool) -> None:
    (data / "p00" / "image.nii.gz").unlink()
    (data / "p01" / "label.nii.gz").write_bytes(b"junk")
    write(data / "p02" / "label.nii.gz", np.full((40, 24, 12), 0.5, np.float32))
    shutil.copy(data / "p03" / "label.nii.gz", data / "p03" / "mask.nii.gz")
    lines = [line.strip() for line in run(dataset, data, fails=True).splitlines()]
    assert [name for name in PHANTOMS if any(f"/{name}/" in line for line in lines)] == list(PHANTOMS)
    assert "4 problems" in lines
    assert "nothing was written" in lines
    assert not (data / "dataset.json").exists()


def test_images_and_labels_in_two_places_meet_in_their_common_folder(tmp_path: Path, run: Tool) -> None:
    for name, seed in PHANTOMS.items():
        write_case([tmp_path / f"data/scans/{name}.nii.gz"], tmp_path / f"data/by hand/{name}.nii.gz", seed)
    run(dataset, tmp_path / "data/scans", "--labels", tmp_path / "data/by hand")
    assert len(read_datalist(tmp_path / "data")["training"].cases) == 3
    words = (tmp_path / "data/scans", "--labels", tmp_path / "data/by hand", "--output_dir", tmp_path / "data/scans")
    assert "must lie in a folder that holds all" in run(dataset, *words, fails=True)


def test_one_file_may_hold_all_channels(tmp_path: Path, run: Tool) -> None:
    for name, seed in PHANTOMS.items():
        write_case([], tmp_path / f"labelsTr/{name}.nii.gz", seed)
        channels = np.random.default_rng(seed).normal(100, 5, (40, 24, 12, 2)).astype(np.int16)
        write(tmp_path / f"imagesTr/{name}.nii.gz", channels)
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "FLAIR", "1": "T1w"}}')
    run(dataset, tmp_path, "--overwrite")
    assert "modalities: 2                 # FLAIR, T1w" in run(preset, tmp_path, "--output", tmp_path / "mine.yaml")


def test_the_subject_may_be_told(data: Path, run: Tool) -> None:
    out = run(dataset, data, "--subject", r"p(\d)", "--overwrite", fails=True)
    assert "4 of 0" in out  # all four are of subject 0
    run(dataset, data, "--subject", r"p0(\d)")
    assert read_datalist(data)["validation"].cases[0]["subject"] in "0123"
    assert "has no group" in run(dataset, data, "--subject", "p0", fails=True)


@pytest.mark.parametrize("names", ["3=$import os", "3=same,7=same", "three=ball", "3="])
def test_names_that_cannot_serve_are_refused(data: Path, run: Tool, names: str) -> None:
    assert "name" in run(dataset, data, "--label_names", names, fails=True)
    assert not (data / "dataset.json").exists()


def test_images_without_a_label_are_for_testing_and_said(data: Path, run: Tool) -> None:
    write_case([data / "p09" / "image.nii.gz"], None, 9)
    assert "test            1 cases, images without a label" in run(dataset, data)
    assert json.loads((data / "dataset.json").read_text())["test"] == [{"image": "./p09/image.nii.gz"}]


def test_a_preset_that_is_there_is_not_overwritten_and_bad_cases_are_all_named(data: Path, run: Tool) -> None:
    run(dataset, data)
    mine = data / "mine.yaml"
    mine.write_text("edited: true\n")
    assert "choose another --output" in run(preset, data, "--output", mine, fails=True)
    assert mine.read_text() == "edited: true\n"
    training = [Path(case["image"]) for case in read_datalist(data)["training"].cases]
    for image in training[:2]:
        image.write_bytes(b"junk")
    message = run(preset, data, "--output", data / "other.yaml", fails=True)
    assert all(str(image) in message for image in training[:2])
    assert not (data / "other.yaml").exists()


def test_the_documented_command_runs(data: Path) -> None:
    words = [sys.executable, "-m", "scripts.tools.dataset", str(data)]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"next: python -m scripts.tools.preset {data}" in result.stdout
