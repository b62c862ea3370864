"""What the inferers, the embedding cache and the configs may ask of an encoder, a decoder and a network."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

import torch
from torch import nn

from .tokens import PATCH

# In the state dictionary of an `EmbeddingNetwork`: before the names of its encoder's tensors, and in place of those that are
# frozen.
ENCODER_PREFIX = "encoder."
DIGEST_KEY = "encoder_sha256"


class ReadableStore(Protocol):
    """Consecutive slices, (B, C, d, h, w), kept outside of the memory that is short."""

    @property
    def depth(self) -> int: ...
    def read(self, start: int, stop: int) -> torch.Tensor: ...


class DepthStore(ReadableStore, Protocol):
    """One that is being filled."""

    def append(self, part: torch.Tensor) -> None: ...


NewStore = Callable[[], DepthStore]


class Level(NamedTuple):
    """Features of an encoder that are finer than its tokens. stride: pixels on a side of a position, which divides PATCH."""

    channels: int
    stride: int

    @property
    def folded(self) -> int:
        """Channels on the grid of tokens: those of all positions in a token."""
        return self.channels * (PATCH // self.stride) ** 2


class SliceEncoder(Protocol):
    """(B, M, H, W, D) -> embeddings (B, M * out_channels, h, w, D), each slice of each modality by itself.

    With `mixes_slices` they are by themselves no longer, but modalities are.

    trained: names of its tensors that training changes; all others are frozen.
    """

    trained: frozenset[str]

    @property
    def mixes_slices(self) -> bool:
        """Whether the embedding of a slice depends on the slices that are encoded with it."""
        ...

    @property
    def out_channels(self) -> int:
        """Of one modality's embedding, folded levels included."""
        ...

    @property
    def levels(self) -> Sequence[Level]:
        """Folded behind one modality's embedding, coarsest first; of most encoders none."""
        ...

    def __call__(self, volume: torch.Tensor) -> torch.Tensor: ...

    def modules(self) -> Iterator[nn.Module]:
        """Itself and all its parts."""
        ...

    def pretrained(self) -> Mapping[str, torch.Tensor]:
        """By name, its weights without what tuning adds to them."""
        ...

    def merged(self) -> Mapping[str, torch.Tensor]:
        """The same names, with what tuning adds merged into them. Raises ValueError where that is impossible."""
        ...

    def sha256(self, without: Collection[str] = ()) -> torch.Tensor:
        """Of those but the ones named: 32 bytes, uint8."""
        ...


@runtime_checkable
class LeavesTensors(Protocol):
    """An encoder whose published file holds tensors that it does not use.

    unused_tensors: how their names begin.
    """

    unused_tensors: tuple[str, ...]


class Detail(Protocol):
    """(B, M, D, H, W), the pixels themselves -> features for each of a decoder's stages, coarsest first.

    token_channels: 256 M, the channels that the pixels of a token take among its embedding's.
    """

    token_channels: int

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]: ...

    def stream(self, pixels: ReadableStore, new_store: NewStore, slices: int) -> list[ReadableStore]:
        """The same, computed `slices` at a time."""
        ...


class FinerLevels(Protocol):
    """(B, M * C, D, h, w), an encoder's `levels` folded into it -> features for each of a decoder's stages, coarsest first.

    None for a stage without a level.
    """

    def __call__(self, tokens: torch.Tensor) -> list[torch.Tensor | None]: ...

    def embeddings(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, M * C, ...) -> (B, M * c, ...), without the levels."""
        ...

    def stream(self, tokens: ReadableStore) -> list[ReadableStore | None]:
        """The same of whatever is read."""
        ...


class Decoder(Protocol):
    """(B, C, h, w, D) -> logits of every supervised stage, finest first.

    bytes_per_voxel: what decoding takes at its widest point, for each voxel of the finest logits.
    """

    bytes_per_voxel: int

    def __call__(self, embeddings: torch.Tensor) -> list[torch.Tensor]: ...

    def stream(self, embeddings: ReadableStore, new_store: NewStore, slices: int) -> Iterator[torch.Tensor]:
        """The finest logits, `slices` at a time. Raises ValueError where a decoder needs all slices at once."""
        ...


class DetailDecoder(Decoder, Protocol):
    """One whose stages read the levels of a `Detail`, of `FinerLevels`, or their sum too, coarsest first."""

    def __call__(self, embeddings: torch.Tensor, levels: Sequence[torch.Tensor | None] = ()) -> list[torch.Tensor]: ...

    def stream(
        self, embeddings: ReadableStore, new_store: NewStore, slices: int, levels: Sequence[ReadableStore | None] = ()
    ) -> Iterator[torch.Tensor]: ...


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
    detail: Detail | None
    decoder: Decoder

    def encode(self, volume: torch.Tensor) -> torch.Tensor:
        """(B, M, H, W, D) -> (B, C, h, w, D), each slice by itself unless the encoder mixes them: all that is decoded."""
        ...

    def __call__(self, volume: torch.Tensor) -> torch.Tensor: ...


def is_on_embeddings(network: object) -> TypeGuard[EmbeddingNetwork]:
    return isinstance(network, DecodesEmbeddings)
