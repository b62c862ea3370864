"""What the overlays of slice encoders put in the place of SAM's, and with what they go together."""

from typing import Any

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from narrow_encoders import NARROW_ENCODERS, NARROW_HIERA

from scripts.networks import DINOSliceEncoder, SAM2SliceEncoder, SAMSliceEncoder, TwoScaleEncoder
from scripts.weights.encoder_files import file_for

from .conftest import CONFIGS, parts

OTHERS = {name: narrow for name, narrow in NARROW_ENCODERS.items() if narrow.overlay}
every_overlay = pytest.mark.parametrize("name", OTHERS)
CASE = {"image": "a", "label": "b"}
CASES: dict[str, Any] = {"cases": {"training": [CASE] * 3, "validation": [CASE]}}


@every_overlay
@pytest.mark.parametrize("config", ["train.json", "inference.json"])
@pytest.mark.parametrize("trainable", [False, True])
def test_the_encoder_is_the_overlays_and_the_decoder_has_its_channels(name: str, config: str, trainable: bool) -> None:
    narrow = OTHERS[name]
    get = parts(
        config, f"overlays/{narrow.overlay}.yaml", encoder_variant=narrow.variant, encoder_trainable=trainable, modalities=2
    )
    network = get("network_def")
    assert type(network.encoder) is narrow.build
    assert bool(network.encoder.trained) is trainable
    assert network.decoder.stages[0].conv1.in_channels == 2 * network.encoder.out_channels
    expected = narrow.build(narrow.variant).state_dict()
    assert {key: value.shape for key, value in network.encoder.state_dict().items()} == {
        key: value.shape for key, value in expected.items()
    }


@pytest.mark.parametrize(
    ("overlay", "build", "file"),
    [
        ("sam2", SAM2SliceEncoder, "sam2.1_hiera_tiny.pt"),
        ("dinov2", DINOSliceEncoder, "dinov2_vitb14_pretrain.pth"),
        ("dinov3", DINOSliceEncoder, "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth"),
    ],
)
def test_the_default_variant_and_its_file_belong_together(overlay: str, build: Any, file: str) -> None:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "overlays" / f"{overlay}.yaml")])
    parser["bundle_root"] = str(ROOT)
    assert parser.get_parsed_content("encoder_weights") == f"{ROOT}/models/{file}"
    assert parser["network_def#encoder#encoder#_target_"] == f"scripts.networks.{build.__name__}"
    with torch.device("meta"):
        state = build(parser["encoder_variant"]).state_dict()
    assert file_for("mine.pth", state).file == file


@pytest.mark.parametrize("detail", [True, False])
def test_finer_levels_are_added_to_the_pyramids_and_are_no_channels_of_the_decoder(detail: bool) -> None:
    files = ["networks/detail.yaml"] * detail + ["overlays/sam2.yaml", "overlays/sam2_levels.yaml"]
    settings = {} if detail else {"network_def#decoder#detail_channels": [0, 64, 32, 0]}
    network = parts("train.json", *files, encoder_variant=NARROW_HIERA, modalities=2, **settings)("network_def")
    assert network.encoder.strides == (8, 4)
    assert [conv.in_channels for conv in network.levels.narrow] == [2 * 64, 2 * 32]
    assert [conv.out_channels for conv in network.levels.narrow] == [64, 32]
    below = network.decoder.entrance[-1].in_channels if detail else network.decoder.stages[0].conv1.in_channels
    assert below == 2 * 256
    assert (network.detail is not None) is detail


@pytest.mark.parametrize("scale", [2, 0.5])
def test_two_scales_wrap_the_encoder(scale: float) -> None:
    settings = {"network_def#encoder#scale": scale, "modalities": 2}
    network = parts("train.json", "overlays/two_scales.yaml", **settings)("network_def")
    assert (type(network.encoder), network.encoder.scale) == (TwoScaleEncoder, scale)
    assert type(network.encoder.encoder) is SAMSliceEncoder
    assert network.decoder.stages[0].conv1.in_channels == 2 * 2 * 256


def test_cached_crops_know_the_levels(tmp_path: Any) -> None:
    files = ["networks/detail.yaml", "overlays/sam2.yaml", "overlays/sam2_levels.yaml", "overlays/cached.yaml"]
    get = parts("train.json", *files, encoder_variant=NARROW_HIERA, output_dir=tmp_path, **CASES)
    assert [tuple(level) for level in get("join_pixels").levels] == [(64, 8), (32, 4)]
