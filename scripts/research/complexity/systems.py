"""Sizes of the complexity study -> the decoders that it measures, with their MACs by formula."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from ..measure import NaiveAttention, attended_pairs, head_macs, layer_macs, pointwise_stage_macs, residual_stage_macs

NETWORKS = Path(__file__).parents[3] / "configs" / "research" / "networks"
DECODER = "network_def#decoder"

CONVOLUTION = "convolution"
ORIGINAL = "convolution, original"
ONE_LAYER = "attention, 1 layer"
NAIVE = "attention, 1 layer, naive"
ALONE = "the attention layer alone"
MATCHED = "attention, matched"
AXIAL = "axial attention"
WINDOWED = "windowed attention"
PRESETS = {MATCHED: "attention", AXIAL: "attention_axial", WINDOWED: "attention_windowed"}

Grid = tuple[int, int, int]  # h, w, D


@dataclass(frozen=True)
class Study:
    """The defaults are those of docs/research/complexity.md."""

    repeats: int = 5
    classes: int = 4
    in_channels: int = 256
    width: int = 256
    heads: int = 8
    channels: tuple[int, ...] = (128, 64, 32, 16)
    depth_grids: tuple[Grid, ...] = tuple((8, 8, depth) for depth in (4, 8, 16, 32, 64, 128, 192, 256))
    plane_grids: tuple[Grid, ...] = tuple((side, side, 16) for side in (4, 8, 12, 16, 22, 28, 32))
    counted_grids: tuple[Grid, ...] = ((4, 6, 24), (8, 8, 64))  # the first: crops of 64 x 96 x 24, the hippocampus preset
    largest_costly: int = 4096  # tokens for the decoders that would take minutes, or 18 GB, beyond


# Seconds: every line of the study, no figure of interest.
QUICK = Study(
    repeats=1,
    in_channels=32,
    width=32,
    heads=2,
    channels=(16, 8, 4, 2),
    depth_grids=((2, 2, 4), (2, 2, 16), (2, 2, 64)),
    plane_grids=((2, 2, 4), (4, 4, 4), (8, 8, 4)),
    counted_grids=((2, 3, 4), (2, 2, 16)),
    largest_costly=256,
)


@dataclass(frozen=True)
class System:
    """network: what has the parameters; run: embeddings (1, C, h, w, D) -> anything; macs: by formula, per token of a grid."""

    network: nn.Module
    run: Callable[[torch.Tensor], object]
    macs: Callable[[Grid], float]
    costly: bool = False


def systems(study: Study, device: str) -> dict[str, System]:
    torch.manual_seed(0)
    one_layer = _attention(study, device, "attention", layers=1, mlp_ratio=4)
    first = one_layer.network.get_submodule("layers.0")
    return {
        CONVOLUTION: _convolution(study, device, {"_target_": "scripts.networks.ResidualDecoder"}),
        ORIGINAL: _convolution(study, device, _preset("original")),
        ONE_LAYER: one_layer,
        ALONE: System(
            first,
            lambda embeddings: first(embeddings.permute(0, 4, 2, 3, 1)),
            lambda grid: layer_macs(grid, attended_pairs(grid, "full", 0, grid), study.width, 4),
        ),
        **{name: _attention(study, device, preset, costly=name == MATCHED) for name, preset in PRESETS.items()},
        NAIVE: System(one_layer.network, _naively(one_layer.network), one_layer.macs, costly=True),
    }


def random_embeddings(study: Study, grid: Grid, device: str) -> torch.Tensor:
    """(1, C, h, w, D)."""
    return torch.randn(1, study.in_channels, *grid, generator=torch.Generator().manual_seed(0)).to(device)


def _naively(network: nn.Module) -> Callable[[torch.Tensor], object]:
    def run(embeddings: torch.Tensor) -> object:
        with NaiveAttention():
            return network(embeddings)

    return run


def _convolution(study: Study, device: str, definition: dict[str, Any]) -> System:
    decoder = _build(study, device, definition)
    kernel = definition.get("shortcut_kernel", 3)
    heads = head_macs(study.channels, study.classes, len(decoder.heads), definition.get("head", "linear"))
    macs = sum(residual_stage_macs(study.in_channels, study.channels, kernel)) + heads
    return System(decoder, decoder, lambda grid: macs)


def _attention(study: Study, device: str, preset: str, costly: bool = False, **changes: Any) -> System:
    definition = {**_preset(preset), "width": study.width, "heads": study.heads, **changes}
    decoder = _build(study, device, definition)
    mixing, window = definition.get("mixing", "full"), tuple(definition.get("window", ()))
    around = attention_stage_macs(study)

    def macs(grid: Grid) -> float:
        return around + sum(
            layer_macs(grid, attended_pairs(grid, mixing, layer, window), study.width, definition["mlp_ratio"])
            for layer in range(definition["layers"])
        )

    return System(decoder, decoder, macs, costly)


def attention_stage_macs(study: Study) -> int:
    """Of what follows the layers of an attention decoder, per token."""
    return sum(pointwise_stage_macs(study.width, study.channels)) + head_macs(study.channels, study.classes)


def _preset(name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(NETWORKS / f"{name}.yaml"))[DECODER]


def _build(study: Study, device: str, definition: dict[str, Any]) -> Any:
    sizes = {"in_channels": study.in_channels, "out_channels": study.classes, "channels": list(study.channels)}
    return ConfigParser({"decoder": {**definition, **sizes}}).get_parsed_content("decoder").eval().to(device)
