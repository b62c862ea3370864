"""An encoder-decoder and a module for its skips -> the same encoder-decoder with that module on its skips."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import nn


class SkipHost(Protocol):
    """An encoder-decoder, a module, that gives out its skips."""

    skip_channels: Sequence[int]  # finest first
    spatial_dims: int

    def encode(self, volume: torch.Tensor) -> tuple[list[torch.Tensor], Any]:
        """-> skips finest first, and what else the decoder needs, as a rule the encoder's last features."""
        ...

    def decode(self, skips: Sequence[torch.Tensor], bottom: Any) -> torch.Tensor:
        """-> logits."""
        ...


class SkipNetwork(nn.Module):
    """(B, M, *size) -> logits (B, K, *size) of a host, its skips passed through another module.

    skips: makes that module of the skips' channels and the number of spatial dimensions, for example `DualCrossAttention`;
        it maps the list of skips to a list of the same shapes. None: the host as it is.
    """

    def __init__(self, host: SkipHost, skips: Callable[[Sequence[int], int], nn.Module] | None = None) -> None:
        super().__init__()
        self.host = host
        self.skips = None if skips is None else skips(host.skip_channels, host.spatial_dims)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        skips, bottom = self.host.encode(volume)
        return self.host.decode(skips if self.skips is None else self.skips(skips), bottom)
