"""What the inferers, the embedding cache and the configs may ask of an encoder, a decoder and a network."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeGuard, runtime_checkable

import torch
from torch import nn


class DepthStore(Protocol):
    """Consecutive slices, (B, C, d, h, w), kept outside of the memory that is short."""

    depth: int

    def append(self, part: torch.Tensor) -> None: ...
    def read(self, start: int, stop: int) -> torch.Tensor: ...


NewStore = Callable[[], DepthStore]


class SliceEncoder(Protocol):
    """(B, M, H, W, D) -> embeddings (B, M * out_channels, h, w, D), each slice of each modality by itself."""

    trainable: bool

    @property
    def out_channels(self) -> int:
        """Of one modality's embedding."""
        ...

    def __call__(self, volume: torch.Tensor) -> torch.Tensor: ...

    def modules(self) -> Iterator[nn.Module]:
        """Itself and all its parts."""
        ...

    def sha256(self) -> torch.Tensor:
        """Of its weights: 32 bytes, uint8."""
        ...


class Decoder(Protocol):
    """(B, C, h, w, D) -> logits of every supervised stage, finest first.

    bytes_per_voxel: what decoding takes at its widest point, for each voxel of the finest logits.
    """

    bytes_per_voxel: int

    def __call__(self, embeddings: torch.Tensor) -> list[torch.Tensor]: ...

    def stream(self, embeddings: DepthStore, new_store: NewStore, slices: int) -> Iterator[torch.Tensor]:
        """The finest logits, `slices` at a time. Raises ValueError where a decoder needs all slices at once."""
        ...


@runtime_checkable
class DecodesEmbeddings(Protocol):
    """The methods by which a network of an encoder and a decoder is told from one that is asked for its logits alone."""

    def decode(self, embeddings: torch.Tensor, plane: tuple[int, int]) -> torch.Tensor | list[torch.Tensor]:
        """(B, C, h, w, D) -> logits for a plane of H x W pixels; when training a list of them, finest first."""
        ...

    def stream(
        self, embeddings: DepthStore, plane: tuple[int, int], new_store: NewStore, slices: int
    ) -> Iterator[torch.Tensor]:
        """`decode` in evaluation, `slices` at a time."""
        ...


class EmbeddingNetwork(DecodesEmbeddings, Protocol):
    """A slice encoder and a decoder, which may be run apart: `SAM3D` and its like."""

    encoder: SliceEncoder
    decoder: Decoder

    def __call__(self, volume: torch.Tensor) -> torch.Tensor: ...


def is_on_embeddings(network: object) -> TypeGuard[EmbeddingNetwork]:
    return isinstance(network, DecodesEmbeddings)
