"""Slice encoders of other families, as a user runs them: from a file in their format, cached, resumed, and for masks."""

import json
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from narrow_encoders import NARROW_ENCODERS, NarrowEncoder

from .conftest import Command
from .test_training import assert_identical, stop_after, weights

OTHERS = [
    pytest.param(narrow, id=name, marks=() if name == "sam2" else pytest.mark.slow)
    for name, narrow in NARROW_ENCODERS.items()
    if narrow.overlay
]


@pytest.mark.parametrize("narrow", OTHERS)
def test_a_cached_training_from_a_file_is_resumed_and_used(
    bundle_run: Command, phantoms: Path, tmp_path: Path, narrow: NarrowEncoder
) -> None:
    state = narrow().state_dict()
    torch.save({name.removeprefix("image_encoder."): value for name, value in state.items()}, tmp_path / "encoder.pth")
    last = tmp_path / "encoder.json"
    last.write_text(json.dumps({"encoder_variant": narrow.variant, "encoder_weights": str(tmp_path / "encoder.pth")}))
    configs = ["train.json", f"overlays/{narrow.overlay}.yaml", "overlays/cached.yaml"]
    options = {"dataset_dir": phantoms, "cache_dir": tmp_path / "cache", "last": [last]}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    result = bundle_run("training", configs, output_dir=whole, **options)
    assert f"{tmp_path / 'encoder.pth'}: {len(state)} of {len(state)} tensors loaded" in result.stdout + result.stderr
    bundle_run("training", [*configs, stop_after(1, tmp_path)], output_dir=parts, **options)
    bundle_run("training", configs, output_dir=parts, resume=True, **options)
    assert_identical(whole, parts)
    assert torch.equal(weights(whole)["encoder_sha256"], narrow().sha256())
    images, checkpoint = phantoms / "dataset.json", whole / "model.pt"
    overlay = ROOT / "configs" / "overlays" / f"{narrow.overlay}.yaml"
    result = bundle_run(
        "inference",
        ["inference.json", overlay],
        input=images,
        checkpoint=checkpoint,
        output_dir=tmp_path / "masks",
        last=[last],
    )
    report = json.loads((tmp_path / "masks" / "report.json").read_text())
    assert {entry["status"] for entry in report} == {"written"}


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
