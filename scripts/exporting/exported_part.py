"""A network -> the part of it that is exported, for one plane and any depth."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from ..basics.contracts import EmbeddingNetwork, is_on_embeddings

PARTS = ("network", "encoder", "decoder")
Function = Callable[[torch.Tensor], torch.Tensor]


class ExportedPart(NamedTuple):
    """module: from `input_name` to `output_name`, (1, C, h, w, D) each.

    to_input: a volume (1, M, H, W, D) -> what the part is given. with_part: a function in place of the part -> the whole
    network.
    """

    module: nn.Module
    input_name: str
    output_name: str
    to_input: Function
    with_part: Callable[[Function], Function]


def part_of(network: nn.Module, name: str, plane: Sequence[int]) -> ExportedPart:
    """Raises ValueError for another name, and for a part of a network that has none."""
    if name not in PARTS:
        raise ValueError(f"part must be {', '.join(PARTS[:-1])} or {PARTS[-1]}, got {name!r}")
    if name == "network":
        return ExportedPart(network, "volume", "logits", lambda volume: volume, lambda part: part)
    if not is_on_embeddings(network):
        raise ValueError(f"{type(network).__name__} has no {name} apart from the rest; export it with --part network")
    if name == "encoder" and not network.encoder.out_channels:
        raise ValueError("this network has no encoder, its decoder sees the pixels; export it with --part network")
    height, width = plane

    def decode(embeddings: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, network.decode(embeddings, (height, width)))

    if name == "encoder":
        alone = _without(network, "decoder")
        return ExportedPart(
            Encode(alone), "volume", "embeddings", lambda volume: volume, lambda part: lambda volume: decode(part(volume))
        )
    alone = _without(network, "encoder")
    return ExportedPart(
        Decode(alone, (height, width)),
        *("embeddings", "logits", network.encode),
        lambda part: lambda volume: part(network.encode(volume)),
    )


class Encode(nn.Module):
    """(B, M, H, W, D) -> (B, C, h, w, D): all that is decoded, with detail the pixels too."""

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.network.encode(volume)


class Decode(nn.Module):
    """(B, C, h, w, D) -> (B, K, H, W, D)."""

    def __init__(self, network: EmbeddingNetwork, plane: tuple[int, int]) -> None:
        super().__init__()
        self.network: Any = network
        self.plane = plane

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.network.decode(embeddings, self.plane)


def _without(network: EmbeddingNetwork, name: str) -> EmbeddingNetwork:
    """A copy whose encoders or decoders are gone, so that the file does not hold their weights; the other half is shared."""
    halves = {"encoder": nn.Identity(), "decoder": nn.Identity()}
    memo = {}
    for module in cast(nn.Module, network).modules():
        for half, nothing in halves.items():
            if isinstance(part := module._modules.get(half), nn.Module):
                memo[id(part)] = nothing if half == name else part
    return deepcopy(network, memo)
