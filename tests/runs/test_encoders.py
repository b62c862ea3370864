"""Every encoder of an overlay, from a file in its official format, does all that the bundle does."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NARROW, NARROW_TINY_VIT, ROOT
from monai.bundle import ConfigParser

from scripts.networks import MobileSAMSliceEncoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

from .conftest import NARROW_CONFIG, Command, assert_lies_on_its_image, run_forked
from .test_training import assert_identical, stop_after

TINY_VIT = str({key: list(value) for key, value in NARROW_TINY_VIT.items()})
VIT = str({**NARROW, "global_attn_indexes": [1]})


def mobile_sam() -> tuple[torch.nn.Module, dict[str, Any]]:
    """The encoder, and what its file holds: also a classifier and SAM's other parts."""
    encoder = MobileSAMSliceEncoder(NARROW_TINY_VIT)
    fill_at_random(encoder, seed=5, std=0.2)
    others = {"image_encoder.head.weight": torch.ones(3, 24), "mask_decoder.iou_token.weight": torch.ones(1, 256)}
    return encoder, {**encoder.state_dict(), **others}


def sam_med2d() -> tuple[torch.nn.Module, dict[str, Any]]:
    encoder = SAMSliceEncoder(NARROW, image_size=256, adapters=True)
    fill_at_random(encoder, seed=5, std=0.2)
    return encoder, {"model": dict(encoder.state_dict()), "optimizer": {"state": {}}}


@pytest.mark.parametrize(
    ("name", "build", "variant"),
    [
        pytest.param("mobile_sam", mobile_sam, TINY_VIT, id="mobile_sam"),
        pytest.param("sam_med2d", sam_med2d, VIT, id="sam_med2d", marks=pytest.mark.slow),
    ],
)
def test_an_encoder_is_cached_trained_resumed_used_and_exported(
    bundle_run: Command, phantoms: Path, tmp_path: Path, name: str, build: Any, variant: str
) -> None:
    encoder, content = build()
    torch.save(content, tmp_path / "weights.pth")
    overlay = ROOT / "configs" / "overlays" / f"{name}.yaml"
    options = {"encoder_variant": variant, "encoder_weights": tmp_path / "weights.pth"}
    training = {**options, "dataset_dir": phantoms, "cache_dir": tmp_path / "cache"}
    configs = ["train.json", "overlays/cached.yaml"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = bundle_run("training", configs, last=[overlay], output_dir=whole, **training)
    assert "tensors loaded, sha256" in first.stdout + first.stderr
    bundle_run("training", [*configs, stop_after(1, tmp_path)], last=[overlay], output_dir=parts, **training)
    bundle_run("training", configs, last=[overlay], output_dir=parts, resume=True, **training)
    assert_identical(whole, parts)
    saved = torch.load(whole / "model.pt", weights_only=True)
    assert torch.equal(saved["encoder_sha256"], encoder.sha256())

    options["checkpoint"] = whole / "model.pt"
    bundle_run("inference", ["inference.json"], last=[overlay], input=phantoms, output_dir=tmp_path / "masks", **options)
    for entry in json.loads((tmp_path / "masks" / "report.json").read_text()):
        assert_lies_on_its_image(entry)

    files = [str(ROOT / "configs" / "inference.json"), str(NARROW_CONFIG), str(overlay)]
    words = ["ckpt_export", "network_def", "--filepath", str(tmp_path / "model.ts"), "--ckpt_file", str(options["checkpoint"])]
    words += ["--meta_file", str(ROOT / "configs" / "metadata.json"), "--config_file", str(files), "--bundle_root", str(ROOT)]
    words += ["--use_trace", "true", "--input_shape", "[1, 1, 32, 32, 5]"]
    words += [word for key, value in options.items() for word in (f"--{key}", str(value)) if key != "checkpoint"]
    exporting = run_forked(words, tmp_path)
    assert exporting.returncode == 0, exporting.stderr[-3000:]
    parser = ConfigParser()
    parser.read_config(files)
    parser.update({"bundle_root": str(ROOT), "encoder_variant": NARROW_TINY_VIT if name == "mobile_sam" else NARROW})
    parser["encoder_weights"] = str(options["encoder_weights"])
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(saved)
    volume = torch.rand(1, 1, 32, 32, 5)
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(volume), network(volume), rtol=0, atol=1e-4)
