"""A slice encoder, and a second scale -> an encoder whose embeddings are stacked from both."""

import hashlib
from collections.abc import Collection, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.contracts import Level, SliceEncoder
from ..basics.recorded import plain
from ..basics.tokens import padded, tokens


class TwoScaleEncoder(nn.Module):
    """(B, M, H, W, D) -> (B, M * 2 * C, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    The slice, padded with raw zeros to whole tokens, is also encoded enlarged or shrunk (bilinear, antialiased). That embedding
    is brought to the grid of tokens, by the mean over 2 x 2 of its tokens or bilinearly, and follows the slice's own channels.
    A token of the enlarged slice stands for 8 x 8 pixels, one of the shrunk slice for 32 x 32.

    Args:
        encoder: of both; without finer levels.
        scale: 2 or 0.5.

    Raises:
        ValueError: for another scale, and for an encoder with finer levels.

    Example:
        >>> import torch
        >>> from scripts.networks import SAMSliceEncoder, TwoScaleEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}  # of SAM's: "vit_b"
        >>> encoder = TwoScaleEncoder(SAMSliceEncoder(vit), scale=2)
        >>> tuple(encoder(torch.rand(1, 2, 40, 33, 6)).shape)
        (1, 1024, 3, 3, 6)
    """

    levels: tuple[Level, ...] = ()

    def __init__(self, encoder: SliceEncoder, scale: float) -> None:
        super().__init__()
        if scale not in (2, 0.5):
            raise ValueError(f"scale must be 2 or 0.5, got {scale}")
        if encoder.levels:
            raise ValueError("an encoder with finer levels cannot be read at two scales; leave its levels out, or this scale")
        self.encoder = encoder
        self.scale = scale

    @property
    def trained(self) -> frozenset[str]:
        return frozenset(f"encoder.{name}" for name in self.encoder.trained)

    @property
    def mixes_slices(self) -> bool:
        return self.encoder.mixes_slices

    def pretrained(self) -> dict[str, torch.Tensor]:
        return {f"encoder.{name}": tensor for name, tensor in self.encoder.pretrained().items()}

    def merged(self) -> Mapping[str, torch.Tensor]:
        return self.encoder.merged()

    @property
    def out_channels(self) -> int:
        return 2 * self.encoder.out_channels

    def sha256(self, without: Collection[str] = ()) -> torch.Tensor:
        """Of the encoder's and the scale."""
        own = self.encoder.sha256([name.removeprefix("encoder.") for name in without])
        found = hashlib.sha256(bytes(own.tolist()) + f"scale {float(self.scale)}".encode())
        return torch.tensor(list(found.digest()), dtype=torch.uint8)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        modalities, height, width = (int(size) for size in volume.shape[1:4])  # plain numbers also while tracing
        volume = plain(volume)
        own = self.encoder(volume)
        volume = F.pad(volume, (0, 0, 0, padded(width) - width, 0, padded(height) - height))
        second = self._on_grid(self.encoder(self._scaled(volume)), tokens(height), tokens(width))
        both = [embedding.unflatten(1, (modalities, -1)) for embedding in (own, second)]
        return torch.cat(both, 2).flatten(1, 2)

    def _scaled(self, volume: torch.Tensor) -> torch.Tensor:
        batch, modalities, *plane, depth = volume.shape
        slices = volume.permute(0, 1, 4, 2, 3).flatten(0, 2)[:, None]  # (B*M*D, 1, H, W)
        size = [int(length * self.scale) for length in plane]
        slices = F.interpolate(slices, size=size, mode="bilinear", antialias=True)
        return slices[:, 0].unflatten(0, (batch, modalities, depth)).permute(0, 1, 3, 4, 2)

    def _on_grid(self, embedding: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """An odd number of tokens was padded for the shrunk slice: what lies beyond them is cut off."""
        if self.scale == 2:
            return F.avg_pool3d(embedding, (2, 2, 1))
        return F.interpolate(embedding, scale_factor=(2.0, 2.0, 1.0), mode="trilinear")[:, :, :height, :width]
