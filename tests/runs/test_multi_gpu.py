"""Two processes compute what one computes with the doubled batch."""

from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .conftest import Command

NO_AUGMENTATION = """
random_transforms:
  - {_target_: CenterSpatialCropd, keys: [image, label], roi_size: [-1, -1, 8]}
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
