"""Slice encoder + 3-D decoder = the network."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn

from ..basics.contracts import (
    DIGEST_KEY,
    ENCODER_PREFIX,
    Decoder,
    DepthStore,
    Detail,
    DetailDecoder,
    FinerLevels,
    NewStore,
    SliceEncoder,
)
from ..basics.recorded import plain
from ..basics.tokens import pixels_to_tokens, tokens_to_pixels
from .depth_stream import Sum, View
from .traced_size import require_traced_plane


class SAM3D(nn.Module):
    """(B, M, H, W, D) in [0, 1] -> logits (B, K, H, W, D); when training a list of them, finest first.

    Any H, W and D: the encoder pads the plane to its patches, the logits are cropped back.

    A token's embedding is all that is known of its 16 x 16 pixels. With `detail` the decoder sees the pixels too: they are
    further channels behind the embeddings (`encode`), so that whatever caches, stores and streams embeddings handles them
    alike. With detail the encoder may be `NoEncoder`.

    `state_dict()` holds what is trained, and a sha256 in place of the encoder's frozen parameters (0.01 instead of 0.37 GB for
    ViT-B). Loading such a dictionary verifies the digest against those parameters of the encoder at hand that it lacks, and
    takes them from there, so strict loaders work; another encoder is refused. Which part of the encoder was trained may differ.

    Args:
        encoder: of slices; which of its parameters are frozen it says by `trained`.
        decoder: of the embeddings of all modalities together, and of the levels of detail.
        detail: of the pixels; None: embeddings alone.
        levels: of the encoder's finer levels, where it gives some; the decoder then has no channels for them.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}  # of SAM's: "vit_b"
        >>> network = SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, out_channels=4)).eval()
        >>> tuple(network(torch.rand(1, 1, 40, 33, 6)).shape)
        (1, 4, 40, 33, 6)
        >>> [name for name in network.state_dict() if name.startswith("encoder")]
        ['encoder_sha256']
    """

    def __init__(
        self,
        encoder: SliceEncoder,
        decoder: Decoder | DetailDecoder,
        detail: Detail | None = None,
        levels: FinerLevels | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.detail = detail
        self.levels = levels
        self.decoder = decoder
        self.register_state_dict_post_hook(_replace_frozen_by_digest)
        self.register_load_state_dict_pre_hook(_restore_frozen)

    def forward(self, volume: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        return self.decode(self.encode(require_traced_plane(volume)), (volume.shape[2], volume.shape[3]))

    def encode(self, volume: torch.Tensor) -> torch.Tensor:
        """(B, M, H, W, D) -> (B, C, h, w, D): what the encoder makes of the slices, and with detail the pixels behind it."""
        embeddings = self.encoder(volume)
        return embeddings if self.detail is None else torch.cat([embeddings, pixels_to_tokens(volume)], 1)

    def stream(
        self, embeddings: DepthStore, plane: tuple[int, int], new_store: NewStore, slices: int
    ) -> Iterator[torch.Tensor]:
        """`decode` in evaluation, `slices` at a time and in memory that does not grow with the depth: (B, K, H, W, d).

        Args:
            embeddings: a store of (B, C, D, h, w), from `encode`.
            plane: H x W pixels of the logits.
            new_store: makes an empty store for a layer's results.
            slices: in a part.

        Raises:
            ValueError: for a decoder that needs all slices at once.
        """
        encoded = View(embeddings, self._encoded)
        pyramid, finer = [], []
        if self.detail is not None:
            pyramid = self.detail.stream(View(embeddings, self._pixels), new_store, slices)
        if self.levels is not None:
            finer, encoded = self.levels.stream(encoded), View(encoded, self.levels.embeddings)
        if levels := _both(pyramid, finer, Sum):
            parts = cast(DetailDecoder, self.decoder).stream(encoded, new_store, slices, levels)
        else:
            parts = self.decoder.stream(encoded, new_store, slices)
        return (logits[:, :, : plane[0], : plane[1]] for logits in parts)

    def decode(self, embeddings: torch.Tensor, plane: tuple[int, int]) -> torch.Tensor | list[torch.Tensor]:
        """(B, C, h, w, D), from `encode` -> logits for a plane of H x W pixels; when training a list of them, finest first."""
        logits = [
            level[:, :, : -(-plane[0] >> i), : -(-plane[1] >> i)]  # level i: ceil(H / 2^i) x ceil(W / 2^i)
            for i, level in enumerate(self._decode(embeddings))
        ]
        return logits if self.training else logits[0]

    def _decode(self, embeddings: torch.Tensor) -> list[torch.Tensor]:
        encoded = self._encoded(embeddings)
        # Held by this one list, which the decoder empties: no level outlives its stage.
        levels = _both(
            [] if self.detail is None else self.detail(self._pixels(embeddings.movedim(-1, 2))),
            [] if self.levels is None else self.levels(encoded.movedim(-1, 2)),
            torch.add,
        )
        if self.levels is not None:
            encoded = self.levels.embeddings(encoded)
        return cast(DetailDecoder, self.decoder)(encoded, levels) if levels else self.decoder(encoded)

    def _encoded(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, C + 256 M, ...) -> (B, C, ...)"""
        return tokens if self.detail is None else tokens[:, : -self.detail.token_channels]

    def _pixels(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, C + 256 M, D, h, w) -> (B, M, D, 16 h, 16 w)"""
        return tokens_to_pixels(tokens[:, -cast(Detail, self.detail).token_channels :])


def _both(pyramid: Sequence[Any], finer: Sequence[Any], add: Callable[[Any, Any], Any]) -> list[Any]:
    """The levels of each stage, added where both have one; empty where there are none at all."""
    if not (pyramid and finer):
        return [*pyramid, *finer]
    return [first if second is None else add(first, second) for first, second in zip(pyramid, finer, strict=True)]


class EmbeddingsToLogits(nn.Module):
    """The part of a `SAM3D` that is trained, for training on cached embeddings: (B, C, h, w, D) -> what the network gives.

    Args:
        network: whose decoder is used.
        plane: H x W of the volumes that were encoded.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM3D, EmbeddingsToLogits, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, out_channels=4)).eval()
        >>> volume = torch.rand(1, 1, 40, 33, 6)
        >>> logits = EmbeddingsToLogits(network, plane=(40, 33))(network.encode(volume))
        >>> torch.equal(logits, network(volume))
        True
    """

    def __init__(self, network: SAM3D, plane: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        height, width = plane
        self.plane = (height, width)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        return self.network.decode(plain(embeddings), self.plane)


def _replace_frozen_by_digest(network: SAM3D, state: dict[str, Any], prefix: str, _: Any) -> None:
    trained = network.encoder.trained
    frozen = [name for name in network.encoder.pretrained() if name not in trained]
    if trained and not frozen:
        return  # saved whole
    for name in frozen:
        del state[prefix + ENCODER_PREFIX + name]
    state[prefix + DIGEST_KEY] = network.encoder.sha256(without=trained).clone()


def _restore_frozen(network: SAM3D, state: dict[str, Any], prefix: str, *_: Any) -> None:
    saved = state.pop(prefix + DIGEST_KEY, None)
    if saved is None:
        return  # saved whole
    encoder = prefix + ENCODER_PREFIX
    live = network.encoder.sha256(without=[key.removeprefix(encoder) for key in state if key.startswith(encoder)])
    if _hex(saved) != _hex(live):
        raise ValueError(
            f"this checkpoint was trained on the encoder with sha256 {_hex(saved)}, but the encoder at hand has {_hex(live)}; "
            "load the weights that it was trained with: encoder_weights (the same file, or 'random'), encoder_seed and the "
            "encoder's variant and blocks"
        )
    for name, value in network.encoder.pretrained().items():
        state.setdefault(encoder + name, value)


def _hex(digest: Any) -> str:
    return bytes(digest.cpu().byte().tolist()).hex() if isinstance(digest, torch.Tensor) else repr(digest)
