"""Runs that train a part of the encoder: interrupted, used by their checkpoint alone, merged, by two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tools.conftest import Shell, shell

from scripts.networks import SAMSliceEncoder
from scripts.weights import load_sam_encoder

from .conftest import Command
from .test_multi_gpu import NO_AUGMENTATION, curve
from .test_training import assert_identical, stop_after, weights

__all__ = ["shell"]
VIT = {"embed_dim": 32, "depth": 3, "num_heads": 2, "global_attn_indexes": [1]}  # of narrow.yaml


@pytest.mark.parametrize(
    ("overlays", "options"),
    [
        (["lora"], {"layer_decay": 0.5}),
        pytest.param(["two_stage", "lora"], {"first_stage_epochs": 1}, marks=pytest.mark.slow),
        pytest.param(["last_blocks"], {"layer_decay": 0.5}, marks=pytest.mark.slow),
        pytest.param(["two_stage", "last_blocks"], {"first_stage_epochs": 1}, marks=pytest.mark.slow),
        pytest.param(["depth_adapter"], {}, marks=pytest.mark.slow),
        pytest.param(["lora", "depth_adapter"], {}, marks=pytest.mark.slow),
    ],
    ids=["lora", "two_stage+lora", "last_blocks", "two_stage+last_blocks", "depth_adapter", "lora+depth_adapter"],
)
def test_an_interrupted_run_ends_with_the_same_weights(
    bundle_run: Command, phantoms: Path, tmp_path: Path, overlays: list[str], options: dict[str, Any]
) -> None:
    configs = ["train.json", *(f"overlays/{name}.yaml" for name in overlays)]
    options = {"dataset_dir": phantoms, "max_epochs": 2, **options}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    bundle_run("training", configs, output_dir=whole, **options)
    bundle_run("training", [*configs, stop_after(1, tmp_path)], output_dir=parts, **options)
    bundle_run("training", configs, output_dir=parts, resume=True, **options)
    assert_identical(whole, parts)
    state = weights(parts)
    tuned = [name for name in state if name.startswith("encoder.")]
    assert tuned
    assert "encoder_sha256" in state
    parts_of = {"lora": "lora.", "last_blocks": "image_encoder.", "depth_adapter": "depth_adapters."}
    meant = {f"encoder.{part}" for overlay, part in parts_of.items() if overlay in overlays}
    assert {name[: name.index(".", len("encoder.")) + 1] for name in tuned} == meant


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["lora", "last_blocks", "depth_adapter"])
def test_a_checkpoint_alone_says_how_its_encoder_was_trained(
    bundle_run: Command, phantoms: Path, tmp_path: Path, shell: Shell, overlay: str
) -> None:
    run, configs = tmp_path / "run", ["train.json", f"overlays/{overlay}.yaml"]
    bundle_run("training", configs, dataset_dir=phantoms, output_dir=run)
    checkpoint = f"--checkpoint {run}/last.pt"
    shell(f"sam3d segment {phantoms}/dataset.json {checkpoint} --output masks", cwd=tmp_path)
    shell(f"sam3d evaluate {phantoms} {checkpoint} --output evaluation", cwd=tmp_path)
    if overlay == "depth_adapter":
        refused = shell(f"sam3d merge {checkpoint} --output merged", cwd=tmp_path, code=1)
        assert "an encoder with depth adapters cannot be written as one of SAM's" in refused.stderr
        return
    shell(f"sam3d merge {checkpoint} --output merged", cwd=tmp_path)
    merged = torch.load(tmp_path / "merged" / "encoder.pth", weights_only=True)
    before = load_sam_encoder(SAMSliceEncoder(VIT), "random").pretrained()
    assert merged.keys() == before.keys()
    changed = {name for name, value in before.items() if not torch.equal(value, merged[name])}
    assert changed
    assert all(name.endswith("attn.qkv.weight") for name in changed) == (overlay == "lora")


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["lora", "last_blocks", "depth_adapter"])
def test_two_gloo_processes_follow_the_loss_curve_of_one(
    bundle_run: Command, phantoms: Path, tmp_path: Path, overlay: str
) -> None:
    still = tmp_path / "no_augmentation.yaml"
    still.write_text(NO_AUGMENTATION)
    configs, options = ["train.json", f"overlays/{overlay}.yaml"], {"dataset_dir": phantoms, "max_epochs": 4}
    bundle_run("training", [*configs, still], output_dir=tmp_path / "one", batch_size=2, **options)
    configs += ["overlays/multi_gpu.yaml", still]
    bundle_run("training", configs, processes=2, output_dir=tmp_path / "two", batch_size=1, **options)
    one, two = (curve(tmp_path / name, "train_loss") for name in ("one", "two"))
    torch.testing.assert_close(torch.tensor(two), torch.tensor(one), rtol=0, atol=1e-3)


def test_an_encoder_of_which_a_part_is_trained_is_not_cached(bundle_run: Command, phantoms: Path, tmp_path: Path) -> None:
    configs = ["train.json", "overlays/lora.yaml", "overlays/cached.yaml"]
    result = bundle_run("training", configs, fails=True, dataset_dir=phantoms, output_dir=tmp_path / "run")
    assert "only while all of the encoder is frozen" in result.stderr[result.stderr.index("ERROR: ") :]
