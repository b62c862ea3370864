"""Two processes compute what one computes with the doubled batch."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .conftest import Command

NO_AUGMENTATION = """
random_crop:
  - {_target_: CenterSpatialCropd, keys: [image, label], roi_size: [-1, -1, 8]}
augmentation: []
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def curve(folder: Path, tag: str) -> list[float]:
    return [event.value for event in EventAccumulator(str(folder / "events")).Reload().Scalars(tag)]


def test_two_gloo_processes_follow_the_loss_curve_of_one_with_the_doubled_batch(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "no_augmentation.yaml"
    overlay.write_text(NO_AUGMENTATION)
    options = {"dataset_dir": phantoms, "max_epochs": 4}
    bundle_run("training", ["train.json", overlay], output_dir=tmp_path / "one", batch_size=2, **options)
    configs = ["train.json", "overlays/multi_gpu.yaml", overlay]
    bundle_run("training", configs, launcher=TORCHRUN, output_dir=tmp_path / "two", batch_size=1, **options)
    for tag in ("train_loss", "val_mean_dice"):
        one, two = curve(tmp_path / "one", tag), curve(tmp_path / "two", tag)
        assert len(one) == 4
        torch.testing.assert_close(torch.tensor(two), torch.tensor(one), rtol=0, atol=1e-3)
    assert one[0] != one[-1]


def test_with_fewer_validation_cases_than_processes_each_process_validates_all(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    """Their averaged weights, which are the same in each."""
    shutil.copytree(phantoms, tmp_path / "data")
    lists = json.loads((phantoms / "dataset.json").read_text())
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(lists | {"validation": lists["validation"][:1]}))
    overlay = tmp_path / "no_augmentation.yaml"
    overlay.write_text(NO_AUGMENTATION)
    options = {"dataset_dir": tmp_path / "data", "max_epochs": 1}
    bundle_run("training", ["train.json", "overlays/ema.yaml", overlay], output_dir=tmp_path / "one", batch_size=2, **options)
    configs = ["train.json", "overlays/ema.yaml", "overlays/multi_gpu.yaml", overlay]
    bundle_run("training", configs, processes=2, output_dir=tmp_path / "two", batch_size=1, **options)
    one, two = (curve(tmp_path / name, "val_mean_dice") for name in ("one", "two"))
    assert len(one) == 1
    assert two == pytest.approx(one, abs=1e-3)
