"""A network -> the same network, to which the slices are shown in reverse order."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import nn

from ..basics.contracts import Decoder, DepthStore, Detail, EmbeddingNetwork, NewStore, ReadableStore, SliceEncoder
from .depth_stream import keep, parts


class Flipped(nn.Module):
    """(B, M, H, W, D) -> (B, K, H, W, D), in the order of the volume's own slices. For networks in evaluation.

    Args:
        network: from volumes to logits.

    Example:
        >>> import torch
        >>> from scripts.networks import Flipped
        >>> network, volume = torch.nn.Conv3d(1, 2, 3, padding=1), torch.rand(1, 1, 8, 8, 5)
        >>> torch.equal(Flipped(network)(volume), network(volume.flip(-1)).flip(-1))
        True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.network(volume.flip(-1)).flip(-1)


class FlippedDepth(Flipped):
    """A `Flipped` network on embeddings, of which the volume's own are decoded in reverse order: the encoder sees it once.

    Since it encodes the slices one by one, this is exact.

    Args:
        network: such as `SAM3D`.

    Raises:
        ValueError: for an encoder in which slices see each other.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM3D, FlippedDepth, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, out_channels=4)).eval()
        >>> volume = torch.rand(1, 1, 32, 32, 6)
        >>> torch.allclose(FlippedDepth(network)(volume), network(volume.flip(-1)).flip(-1), atol=1e-5)
        True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        if self.encoder.mixes_slices:
            raise ValueError(
                "tta decodes embeddings in reverse order, which must be those of single slices, and in the encoder of this "
                "network slices see each other (depth_adapter); set tta to none"
            )

    @property
    def encoder(self) -> SliceEncoder:
        return self._on_embeddings.encoder

    @property
    def detail(self) -> Detail | None:
        return self._on_embeddings.detail

    @property
    def decoder(self) -> Decoder:
        return self._on_embeddings.decoder

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(volume), (volume.shape[2], volume.shape[3]))

    def encode(self, volume: torch.Tensor) -> torch.Tensor:
        """(B, M, H, W, D) -> (B, C, h, w, D), in the volume's order: as the network without the flip."""
        return self._on_embeddings.encode(volume)

    def decode(self, embeddings: torch.Tensor, plane: tuple[int, int]) -> torch.Tensor:
        """(B, C, h, w, D) -> (B, K, H, W, D), both in the volume's order."""
        return cast(torch.Tensor, self._on_embeddings.decode(embeddings.flip(-1), plane)).flip(-1)

    def stream(
        self, embeddings: DepthStore, plane: tuple[int, int], new_store: NewStore, slices: int
    ) -> Iterator[torch.Tensor]:
        """`decode`, `slices` at a time: the last logits are known first, and wait in a store for their turn."""
        backwards = cast(DepthStore, Backwards(embeddings))
        logits = self._on_embeddings.stream(backwards, plane, new_store, slices)
        kept = keep((part.movedim(-1, 2) for part in logits), new_store())  # (B, K, d, H, W)
        return (part.movedim(2, -1) for part in parts(Backwards(kept), slices))

    @property
    def _on_embeddings(self) -> EmbeddingNetwork:
        return cast(EmbeddingNetwork, self.network)


class Backwards:
    """A store, read from its end."""

    def __init__(self, store: ReadableStore) -> None:
        self._store = store

    @property
    def depth(self) -> int:
        return self._store.depth

    def read(self, start: int, stop: int) -> torch.Tensor:
        return self._store.read(self.depth - stop, self.depth - start).flip(2)
