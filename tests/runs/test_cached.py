"""Training on cached embeddings, as a user runs it: filled once, shared, resumed, by several processes, never stale."""

import re
import subprocess
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from scripts.run.warm_bundle import start_bundle

from .conftest import Command, command_line
from .test_multi_gpu import curve
from .test_training import assert_identical, stop_after, weights

CACHED = ["train.json", "overlays/cached.yaml"]
ENTRIES = 4 * 3  # cases and views


def computed(result: subprocess.CompletedProcess[str]) -> list[int]:
    """How many embeddings each process computed."""
    return [int(number) for number in re.findall(r"(\d+) embeddings computed", result.stdout + result.stderr)]


def test_embeddings_are_computed_once_for_all_training_runs_and_the_checkpoint_is_as_ever(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    options = {"dataset_dir": phantoms, "cache_dir": tmp_path / "cache"}
    result = bundle_run("caching", CACHED, output_dir=tmp_path / "unused", **options)
    assert computed(result) == [ENTRIES]
    assert "encoding: 100%" in result.stderr
    result = bundle_run("training", CACHED, output_dir=tmp_path / "run", **options)
    assert computed(result) == [0]
    assert weights(tmp_path / "run", "model.pt").keys() == weights(trained, "model.pt").keys()
    bundle_run(
        "inference",
        ["inference.json"],
        input=phantoms / "dataset.json",
        checkpoint=tmp_path / "run/model.pt",
        output_dir=tmp_path / "m",
    )
    # A damaged entry and other weights: computed again, and nothing else is.
    entry = min((tmp_path / "cache").iterdir())
    entry.write_bytes(entry.read_bytes()[:-1])
    result = bundle_run("training", CACHED, output_dir=tmp_path / "again", **options)
    assert computed(result) == [1]
    assert "is damaged, or another's, and is computed again" in result.stdout + result.stderr
    assert_identical(tmp_path / "run", tmp_path / "again")
    assert computed(bundle_run("caching", CACHED, encoder_seed=1, output_dir=tmp_path / "unused", **options)) == [ENTRIES]


@pytest.mark.parametrize(
    ("cache_dir", "num_workers"),
    [
        ("disk", 2),
        ("memory", 0),
        pytest.param("disk", 0, marks=pytest.mark.slow),
        pytest.param("memory", 2, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_cached_training_is_the_uninterrupted_one(
    bundle_run: Command, phantoms: Path, tmp_path: Path, num_workers: int, cache_dir: str
) -> None:
    stop = stop_after(2, tmp_path)
    folder = cache_dir if cache_dir == "memory" else tmp_path / cache_dir
    options = {"dataset_dir": phantoms, "max_epochs": 3, "num_workers": num_workers, "cache_dir": folder}
    assert computed(bundle_run("training", CACHED, output_dir=tmp_path / "whole", **options)) == [ENTRIES]
    bundle_run("training", [*CACHED, stop], output_dir=tmp_path / "parts", **options)
    bundle_run("training", CACHED, output_dir=tmp_path / "parts", resume=True, **options)
    assert_identical(tmp_path / "whole", tmp_path / "parts")
    assert not (tmp_path / "whole" / "embeddings").exists()


def test_two_processes_share_the_work_and_follow_the_loss_curve_of_one(
    bundle_run: Command, phantoms: Path, tmp_path: Path
) -> None:
    """Without anything random: one view, and all volumes are one crop deep."""
    options = {"dataset_dir": phantoms, "max_epochs": 3, "roi_depth": 12, "cached_views": "[[]]"}
    bundle_run("training", CACHED, output_dir=tmp_path / "one", batch_size=2, **options)
    for order in (["overlays/multi_gpu.yaml", "overlays/cached.yaml"], ["overlays/cached.yaml", "overlays/multi_gpu.yaml"]):
        output_dir = tmp_path / Path(order[0]).stem
        configs = ["train.json", *order]
        result = bundle_run("training", configs, processes=2, output_dir=output_dir, batch_size=1, **options)
        assert sum(computed(result)) == 4
        one, two = curve(tmp_path / "one", "train_loss"), curve(output_dir, "train_loss")
        assert len(one) == 3
        torch.testing.assert_close(torch.tensor(two), torch.tensor(one), rtol=0, atol=1e-3)


def test_a_killed_filling_leaves_no_partial_entry_and_goes_on(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    options = {"dataset_dir": phantoms, "cache_dir": cache, "output_dir": tmp_path / "unused", "num_workers": 0}
    process = start_bundle(command_line("caching", CACHED, options)[2:], tmp_path / "log.txt")
    while process.is_alive() and not (cache.is_dir() and any(cache.iterdir())):
        time.sleep(0.001)
    process.kill()
    process.join()
    whole = {path for path in cache.iterdir() if path.name[0] != "."}
    result = bundle_run("caching", CACHED, **options)
    assert computed(result) == [ENTRIES - len(whole)]
    assert "damaged" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("extra", "options", "message"),
    [
        ("overlays/joint_dice.yaml", {"cache_limit": 1e-6}, "cache_limit allows 1e-06 GB"),
        ("overlays/train_encoder.yaml", {}, "an encoder that changes has no embeddings to keep"),
    ],
)
def test_what_cannot_be_cached_is_said_in_a_sentence(
    bundle_run: Command, phantoms: Path, tmp_path: Path, extra: str, options: dict[str, float], message: str
) -> None:
    folders = {"dataset_dir": phantoms, "output_dir": tmp_path / "run"}
    result = bundle_run("training", CACHED, fails=True, last=[ROOT / "configs" / extra], **folders, **options)
    error = result.stderr[result.stderr.index("ERROR: ") :]
    assert message in error
    assert "Traceback" not in error


def test_a_network_without_a_slice_encoder_is_not_cached(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "cnn.yaml").write_text("""
network_def:
  _target_: scripts.networks.AnySize
  multiple: [2, 2, 2]
  network: {_target_: BasicUNet, in_channels: 1, out_channels: 4, features: [4, 4, 4, 4, 4, 4]}
""")
    folders = {"dataset_dir": phantoms, "output_dir": tmp_path / "run"}
    result = bundle_run("training", CACHED, fails=True, last=[tmp_path / "cnn.yaml"], **folders)
    assert (
        "ERROR: cached does not fit this run: it keeps what an encoder gives, and this network has none; leave out --cached"
        in (result.stderr)
    )
