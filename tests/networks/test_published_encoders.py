"""SAM 2.1's, DINOv2's and DINOv3's encoders against other implementations of them: numbers that those gave, and where they are
installed (`pip install --no-deps sam2`, `pip install transformers`) themselves."""

import importlib.util
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from narrow_encoders import NARROW_ENCODERS, NARROW_HIERA
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import DINOSliceEncoder, SAM2SliceEncoder
from scripts.networks.slicewise_encoder import SlicewiseEncoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of pixels in [0, 1]


def image(height: int, width: int) -> torch.Tensor:
    """(1, 1, H, W, 1), the same numbers in every version of torch."""
    return (0.37 * torch.arange(height * width, dtype=torch.float64)).remainder(1).view(1, 1, height, width, 1)


def normalised(volume: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W, 1) -> (1, 3, H, W)"""
    mean, std = (volume.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (volume[..., 0].expand(-1, 3, -1, -1) - mean) / std


def parameters_of(encoder: SlicewiseEncoder) -> dict[str, torch.Tensor]:
    return {name.removeprefix("image_encoder."): value for name, value in encoder.state_dict().items()}


def sam2(volume: torch.Tensor, encoder: SlicewiseEncoder) -> list[torch.Tensor]:
    """Of the package sam2: `vision_features`, and what its mask decoder sees of the levels at strides 8 and 4."""
    hieradet, neck = load_sam2()
    model = neck.ImageEncoder(
        hieradet.Hiera(**NARROW_HIERA, window_pos_embed_bkg_spatial_size=(7, 7)),
        neck.FpnNeck(nn.Identity(), 256, [128, 64, 32, 16], fpn_top_down_levels=[2, 3], fpn_interp_model="nearest"),
        scalp=1,
    ).double()
    state = parameters_of(encoder)
    convs = {name: state.pop(name) for name in [*state] if name.startswith("conv_s")}
    model.load_state_dict(state)
    with torch.no_grad():
        finest, finer, coarse = model(normalised(volume))["backbone_fpn"]
    levels = [(finer, "conv_s1"), (finest, "conv_s0")]
    return [coarse] + [F.conv2d(level, convs[f"{name}.weight"], convs[f"{name}.bias"]) for level, name in levels]


def load_sam2() -> tuple[ModuleType, ModuleType]:
    """Its image encoder alone: the package itself wants hydra, and iopath for what it can do without here."""
    package = importlib.util.find_spec("sam2")
    if package is None or package.origin is None:
        pytest.skip("the package sam2 is not installed")
    folder = Path(package.origin).parent
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sam2", "sam2.modeling", "sam2.modeling.backbones", "sam2.utils"):
            module = ModuleType(name)
            module.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
            patch.setitem(sys.modules, name, module)
        for name in ("iopath", "iopath.common", "iopath.common.file_io"):
            patch.setitem(sys.modules, name, ModuleType(name))
        sys.modules["iopath.common.file_io"].g_pathmgr = None  # type: ignore[attr-defined]
        return tuple(importlib.import_module(f"sam2.modeling.backbones.{name}") for name in ("hieradet", "image_encoder"))


def dinov2(volume: torch.Tensor, encoder: SlicewiseEncoder) -> list[torch.Tensor]:
    """Of the package transformers, on the resampled slice and with the table that DINOv2's own code makes for it."""
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    images = F.interpolate(
        volume[..., 0], size=[length * 14 // 16 for length in volume.shape[2:4]], mode="bilinear", antialias=True
    )
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=tuple(images.shape[2:]), patch_size=14
    )
    model = transformers.Dinov2Model(config).double().eval()
    state = parameters_of(encoder)
    table = state["pos_embed"]
    grid = table[:, 1:].reshape(1, 5, 5, 32).permute(0, 3, 1, 2)
    if images.shape[2:] != (70, 70):
        # dinov2/models/vision_transformer.py, interpolate_pos_encoding
        scale = [(size // 14 + 0.1) / 5 for size in images.shape[2:]]
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
    state["pos_embed"] = torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    model.embeddings.interpolate_pos_encoding = lambda *_: state["pos_embed"]
    return [run_transformers(model, state, normalised(images[..., None]), 1, "encoder.layer.{}", 14)]


def dinov3(volume: torch.Tensor, encoder: SlicewiseEncoder) -> list[torch.Tensor]:
    """Of the package transformers."""
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    config = transformers.DINOv3ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=128,
        num_register_tokens=4,
        patch_size=16,
        key_bias=True,
    )
    model = transformers.DINOv3ViTModel(config).double().eval()
    return [run_transformers(model, parameters_of(encoder), normalised(volume), 5, "model.layer.{}", 16)]


def run_transformers(
    model: Any, state: dict[str, torch.Tensor], images: torch.Tensor, extra: int, layer: str, patch: int
) -> torch.Tensor:
    """Filled by hand, module by module; the patches' tokens behind `extra` others, (1, C, h, w)."""
    with torch.no_grad():
        model.embeddings.cls_token.copy_(state["cls_token"])
        if extra > 1:
            model.embeddings.register_tokens.copy_(state["storage_tokens"])
        projection = getattr(model.embeddings.patch_embeddings, "projection", model.embeddings.patch_embeddings)
        projection.load_state_dict(part(state, "patch_embed.proj"))
        getattr(model, "layernorm", getattr(model, "norm", None)).load_state_dict(part(state, "norm"))
        for index in range(3):
            block, own = model.get_submodule(layer.format(index)), part(state, f"blocks.{index}")
            for name in ("norm1", "norm2"):
                getattr(block, name).load_state_dict(part(own, name))
            block.layer_scale1.lambda1.copy_(own["ls1.gamma"])
            block.layer_scale2.lambda1.copy_(own["ls2.gamma"])
            first, second = ("up_proj", "down_proj") if hasattr(block.mlp, "up_proj") else ("fc1", "fc2")
            getattr(block.mlp, first).load_state_dict(part(own, "mlp.fc1"))
            getattr(block.mlp, second).load_state_dict(part(own, "mlp.fc2"))
            block.attention.o_proj.load_state_dict(part(own, "attn.proj"))
            for chunk, name in enumerate(("q_proj", "k_proj", "v_proj")):
                joint = part(own, "attn.qkv")
                getattr(block.attention, name).load_state_dict({key: value.chunk(3)[chunk] for key, value in joint.items()})
        tokens = model(images).last_hidden_state[:, extra:]
    return tokens.transpose(1, 2).unflatten(2, [length // patch for length in images.shape[2:]])


def part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


Published = Callable[[torch.Tensor, SlicewiseEncoder], list[torch.Tensor]]
PUBLISHED: dict[str, tuple[Published, dict[str, Any]]] = {
    "sam2": (sam2, {"levels": [8, 4]}),
    "dinov2": (dinov2, {}),
    "dinov3": (dinov3, {}),
}
# Multiples of 32, where SAM 2 itself needs no padding: one token of its last stage, windows with padding on one side or both,
# whole windows.
PLANES = [(32, 32), (96, 64), (448, 64), (256, 320)]


def levels_of(encoder: SlicewiseEncoder, volume: torch.Tensor) -> list[torch.Tensor]:
    """What the encoder gives of a slice, its finer levels unfolded."""
    folded = encoder(volume)[..., 0].split([256, 256, 512] if encoder.levels else [encoder.out_channels], 1)
    return [F.pixel_shuffle(level, scale) for level, scale in zip(folded, (1, 2, 4), strict=False)]


@pytest.mark.parametrize(
    ("family", "plane"),
    [*product(PUBLISHED, PLANES), ("dinov2", (80, 80))],  # 80 x 80: where DINOv2's table is not resampled
)
def test_equals_the_other_implementation(family: str, plane: tuple[int, int]) -> None:
    published, options = PUBLISHED[family]
    encoder, volume = NARROW_ENCODERS[family](**options).double(), image(*plane)
    for level, expected in zip(levels_of(encoder, volume), published(volume, encoder), strict=True):
        # sam2 enlarges the coarsest level in single precision, and transformers keeps rotary frequencies in it.
        assert_close(level, expected, atol=1e-10 if family == "dinov2" else 1e-5, rtol=0)


# Of sam2 1.1.0 and transformers 5.24.0.
RECORDED: dict[str, dict[tuple[int, int], list[list[float]]]] = {
    "sam2": {
        (96, 64): [
            [12.554182, 12.146023, 11.553426, 12.405279],
            [-10.42189, 3.86654, -11.906928, -3.844496],
            [4.183776, 3.181887, -14.170067, 3.909043],
        ],
        (256, 320): [
            [18.955978, 17.357643, 19.68377, 13.390275],
            [-14.292786, -5.385131, -22.005489, 1.506954],
            [2.385031, -3.681397, 4.136089, 5.248278],
        ],
    },
    "dinov2": {
        (96, 64): [[-0.857801, -1.555372, 0.220808, 0.099755]],
        (256, 320): [[-1.916105, 0.00387, -1.665327, 0.108757]],
    },
    "dinov3": {
        (96, 64): [[1.104001, 0.951054, -1.859223, -0.655582]],
        (256, 320): [[1.242832, 3.057598, 1.304516, 3.064158]],
    },
}


@pytest.mark.parametrize(("family", "plane"), [(family, plane) for family, planes in RECORDED.items() for plane in planes])
def test_equals_numbers_that_the_other_implementation_gave(family: str, plane: tuple[int, int]) -> None:
    """`numbers_of(published(volume, encoder))`, in single precision too."""
    encoder = NARROW_ENCODERS[family](**PUBLISHED[family][1])
    expected = torch.tensor(RECORDED[family][plane], dtype=torch.float64)
    assert_close(numbers_of(levels_of(encoder.double(), image(*plane))), expected, atol=2e-5, rtol=0)
    single = numbers_of(levels_of(encoder.float(), image(*plane).float())).double()
    assert_close(single, expected, atol=1e-4, rtol=1e-5)


def numbers_of(levels: list[torch.Tensor]) -> torch.Tensor:
    """Of each level four: in corners of the plane and of the channels."""
    return torch.stack([level[0, [0, -1, 0, -1], [0, 0, -1, -1], [0, -1, 0, -1]] for level in levels])


@pytest.mark.parametrize(
    ("build", "variant", "parameters"),
    [
        (SAM2SliceEncoder, "hiera_tiny", 27_219_136),
        (SAM2SliceEncoder, "hiera_small", 34_316_992),
        (SAM2SliceEncoder, "hiera_base_plus", 69_106_816),
        (SAM2SliceEncoder, "hiera_large", 212_703_280),
        (DINOSliceEncoder, "dinov2_vits14", 22_056_192),
        (DINOSliceEncoder, "dinov2_vitb14", 86_579_712),
        (DINOSliceEncoder, "dinov2_vitl14", 304_367_616),
        (DINOSliceEncoder, "dinov3_vits16", 21_600_768),
        (DINOSliceEncoder, "dinov3_vitb16", 85_668_864),
        (DINOSliceEncoder, "dinov3_vitl16", 303_153_152),
    ],
)
def test_published_variants_have_the_published_size(build: Any, variant: str, parameters: int) -> None:
    with torch.device("meta"):
        encoder = build(variant)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
