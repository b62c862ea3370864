"""Every slice encoder of an overlay, from a file in its official format, does all that the bundle does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NARROW, ROOT
from monai.bundle import ConfigParser
from narrow_encoders import NARROW_ENCODERS, NarrowEncoder

from scripts.networks import SAMSliceEncoder

from .conftest import NARROW_CONFIG, Command, assert_lies_on_its_image, run_forked
from .test_training import assert_identical, stop_after, weights

SAM_MED2D = NarrowEncoder(SAMSliceEncoder, NARROW, "sam_med2d")
OPTIONS = {"sam_med2d": {"image_size": 256, "adapters": True}}  # of its overlay
ENCODERS = {narrow.overlay: narrow for narrow in (*NARROW_ENCODERS.values(), SAM_MED2D) if narrow.overlay}


def official_file(name: str, state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What a file of this family holds."""
    if name == "mobile_sam":  # a classifier and SAM's other parts too
        return {**state, "image_encoder.head.weight": torch.ones(3, 24), "mask_decoder.iou_token.weight": torch.ones(1, 256)}
    if name == "sam_med2d":
        return {"model": dict(state), "optimizer": {"state": {}}}
    return {name.removeprefix("image_encoder."): value for name, value in state.items()}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "mobile_sam" else pytest.mark.slow) for n in ENCODERS])
def test_an_encoder_is_cached_trained_resumed_used_and_exported(
    bundle_run: Command, phantoms: Path, tmp_path: Path, name: str
) -> None:
    encoder, variant = ENCODERS[name](**OPTIONS.get(name, {})), dict(ENCODERS[name].variant)
    state = encoder.state_dict()
    torch.save(official_file(name, state), tmp_path / "weights.pth")
    last = tmp_path / "encoder.json"
    last.write_text(json.dumps({"encoder_variant": variant, "encoder_weights": str(tmp_path / "weights.pth")}))
    overlay = f"overlays/{name}.yaml"
    options = {"dataset_dir": phantoms, "cache_dir": tmp_path / "cache", "last": [last]}
    configs = ["train.json", overlay, "overlays/cached.yaml"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = bundle_run("training", configs, output_dir=whole, **options)
    assert f"{len(state)} of {len(state)} tensors loaded, sha256" in first.stdout + first.stderr
    bundle_run("training", [*configs, stop_after(1, tmp_path)], output_dir=parts, **options)
    bundle_run("training", configs, output_dir=parts, resume=True, **options)
    assert_identical(whole, parts)
    assert torch.equal(weights(whole)["encoder_sha256"], encoder.sha256())

    checkpoint = whole / "model.pt"
    data = phantoms / "dataset.json"
    bundle_run(
        "inference",
        ["inference.json", overlay],
        last=[last],
        input=data,
        checkpoint=checkpoint,
        output_dir=tmp_path / "masks",
    )
    for entry in json.loads((tmp_path / "masks" / "report.json").read_text()):
        assert_lies_on_its_image(entry)

    files = [str(ROOT / "configs" / file) for file in ("inference.json", overlay)] + [str(NARROW_CONFIG), str(last)]
    words = ["ckpt_export", "network_def", "--filepath", str(tmp_path / "model.ts"), "--ckpt_file", str(checkpoint)]
    words += ["--meta_file", str(ROOT / "configs" / "metadata.json"), "--config_file", str(files), "--bundle_root", str(ROOT)]
    words += ["--use_trace", "true", "--input_shape", "[1, 1, 32, 32, 5]"]
    exporting = run_forked(words, tmp_path)
    assert exporting.returncode == 0, exporting.stderr[-3000:]
    parser = ConfigParser()
    parser.read_config(files)
    parser.update({"bundle_root": str(ROOT)})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(weights(whole, "model.pt"))
    volume = torch.rand(1, 1, 32, 32, 5)
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(volume), network(volume), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        ["networks/detail.yaml", "overlays/sam2.yaml", "overlays/sam2_levels.yaml", "overlays/cached.yaml"],
        ["networks/detail.yaml", "overlays/sam2.yaml", "overlays/sam2_levels.yaml", "overlays/train_encoder.yaml"],
        ["overlays/two_scales.yaml", "overlays/cached.yaml"],
        ["networks/detail.yaml", "overlays/two_scales.yaml"],
    ],
    ids=["levels cached", "levels trained", "two scales cached", "two scales with detail"],
)
def test_finer_levels_and_a_second_scale_are_trained_resumed_and_used(
    bundle_run: Command, phantoms: Path, tmp_path: Path, files: list[str]
) -> None:
    last = tmp_path / "encoder.json"
    narrow = NARROW_ENCODERS["sam2" if "overlays/sam2.yaml" in files else "sam"]
    last.write_text(json.dumps({"encoder_variant": narrow.variant, "encoder_weights": "random"}))
    configs = ["train.json", *files]
    options = {"dataset_dir": phantoms, "last": [last]}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    bundle_run("training", configs, output_dir=whole, **options)
    bundle_run("training", [*configs, stop_after(1, tmp_path)], output_dir=parts, **options)
    bundle_run("training", configs, output_dir=parts, resume=True, **options)
    assert_identical(whole, parts)
    network = [file for file in files if "cached" not in file and "train_encoder" not in file]
    bundle_run(
        "inference",
        ["inference.json", *network],
        input=phantoms / "dataset.json",
        checkpoint=whole / "model.pt",
        output_dir=tmp_path / "masks",
        last=[last],
    )
