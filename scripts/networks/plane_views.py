"""A network -> its mean answer to the volume as it is and to turned and scaled views of its slices."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from math import cos, sin
from typing import NamedTuple, cast

import torch
from monai.networks.layers import AffineTransform
from torch import nn

from ..basics.contracts import DepthStore, EmbeddingNetwork, NewStore, SliceEncoder
from ..basics.probabilities import entropy, log_probabilities, logits_of
from ..basics.recorded import plain
from .depth_stream import View


class PlaneView(NamedTuple):
    """rotation: in radians. scale: of the grid that is sampled, so below 1 all looks larger; both as in MONAI's `Affine`."""

    rotation: float
    scale: float


TURNED = (PlaneView(0.15, 0.95), PlaneView(-0.15, 1.05))  # as configs/overlays/cached.yaml turns what is trained on
IN_FRAME = 1 - 1e-3  # of a pixel's weight, up to rounding


class PlaneViews(nn.Module):
    """(B, M, H, W, D) -> (B, K, H, W, D): logits of the mean of the probabilities over all views.

    Views are sampled with linear interpolation, and so are the probabilities on their way back. A view has no vote on a voxel
    that was turned out of its frame.

    Args:
        network: which is shown the volume and each view of it.
        regions: whether each channel is a region by itself.
        mutual_information: whether the network gives mutual information in one more channel, see `Ensemble`; then so do its
            views, between all members on all views.
        disagreement: whether the network gives disagreement in a last channel, see `Ensemble`; it stays that of the volume as
            it is.
        views: beside the volume as it is.

    Example:
        >>> import torch
        >>> from scripts.networks import PlaneViews
        >>> network = PlaneViews(torch.nn.Conv3d(1, 3, 1))
        >>> tuple(network(torch.rand(1, 1, 16, 24, 5)).shape)
        (1, 3, 16, 24, 5)
    """

    def __init__(
        self,
        network: nn.Module,
        regions: bool = False,
        mutual_information: bool = False,
        disagreement: bool = False,
        views: Sequence[PlaneView] = TURNED,
    ) -> None:
        super().__init__()
        self.network = network
        self.regions = regions
        self.mutual_information = mutual_information
        self.disagreement = disagreement
        self.views = views

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self._mean(self.network(seen) for seen in self._seen(volume))

    def _seen(self, volume: torch.Tensor) -> Iterator[torch.Tensor]:
        """(B, M, H, W, D): the volume as it is, then each view of it."""
        yield volume
        for view in self.views:
            yield sampled(plain(volume), matrix(view))

    def _mean(self, answers: Iterable[torch.Tensor]) -> torch.Tensor:
        """Of the answers to what was seen, which need not lie in memory together."""
        answers = iter(answers)
        first = next(answers)
        straight, members = self._read(first)
        turned, votes = torch.zeros_like(straight), 1
        for view, answer in zip(self.views, answers, strict=True):
            back = torch.linalg.inv(matrix(view))
            frame = sampled(torch.ones_like(answer[:1, :1, ..., :1]), back)[0, 0] > IN_FRAME  # (H, W, 1)
            seen, of_members = self._read(answer)
            votes = votes + frame.float()
            turned += torch.where(frame, sampled(seen.exp(), back), 0)
            if self.mutual_information:
                members = members + torch.where(frame, sampled(of_members, back), 0)
        mean = torch.logaddexp(straight, turned.log()) - torch.as_tensor(votes).log()
        channels = [logits_of(mean, self.regions)]
        if self.mutual_information:
            channels.append((entropy(mean, self.regions) - members / votes).clamp_min(0))
        if self.disagreement:
            channels.append(first[:, -1:])
        return torch.cat(channels, 1)

    def _read(self, answer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities, and the mean of the members' entropies (B, 1, H, W, D) where that is known."""
        if self.disagreement:
            answer = answer[:, :-1]
        if not self.mutual_information:
            return log_probabilities(answer, self.regions), torch.empty(0)
        read = log_probabilities(answer[:, :-1], self.regions)
        return read, entropy(read, self.regions) - answer[:, -1:]


class EmbeddingPlaneViews(PlaneViews):
    """One of a network on embeddings: those of all views are each other's further channels, so that slices stay slices.

    Args:
        network: such as an `EmbeddingEnsemble`.
        regions: as of `PlaneViews`.
        mutual_information: as of `PlaneViews`.
        disagreement: as of `PlaneViews`.
        views: as of `PlaneViews`.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM3D, EmbeddingPlaneViews, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = EmbeddingPlaneViews(SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, out_channels=4)).eval())
        >>> tuple(network(torch.rand(1, 1, 40, 33, 6)).shape)
        (1, 4, 40, 33, 6)
    """

    @property
    def encoder(self) -> SliceEncoder:
        return self._on_embeddings.encoder

    @property
    def decoder(self) -> "MemoryOfDecoders":
        return MemoryOfDecoders(2 * self._on_embeddings.decoder.bytes_per_voxel)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(volume), (volume.shape[2], volume.shape[3]))

    def encode(self, volume: torch.Tensor) -> torch.Tensor:
        """(B, M, H, W, D) -> (B, (1 + views) C, h, w, D)"""
        return torch.cat([self._on_embeddings.encode(seen) for seen in self._seen(volume)], 1)

    def decode(self, embeddings: torch.Tensor, plane: tuple[int, int]) -> torch.Tensor:
        """(B, (1 + views) C, h, w, D) -> (B, K, H, W, D), one view after the other."""
        return self._mean(
            cast(torch.Tensor, self._on_embeddings.decode(self._of_view(embeddings, number), plane))
            for number in range(1 + len(self.views))
        )

    def stream(
        self, embeddings: DepthStore, plane: tuple[int, int], new_store: NewStore, slices: int
    ) -> Iterator[torch.Tensor]:
        """`decode`, `slices` at a time: the views side by side, each with stores of its own."""
        stores = (View(embeddings, partial(self._of_view, number=number)) for number in range(1 + len(self.views)))
        streams = [self._on_embeddings.stream(cast(DepthStore, store), plane, new_store, slices) for store in stores]
        return map(self._mean, zip(*streams, strict=True))

    def _of_view(self, embeddings: torch.Tensor, number: int) -> torch.Tensor:
        return embeddings.chunk(1 + len(self.views), 1)[number]

    @property
    def _on_embeddings(self) -> EmbeddingNetwork:
        return cast(EmbeddingNetwork, self.network)


class MemoryOfDecoders(NamedTuple):
    """bytes_per_voxel: of one decoder at work and, beside it, the mean of those before it, its next part and their sum."""

    bytes_per_voxel: int


def matrix(view: PlaneView) -> torch.Tensor:
    """(2, 2): from the centre of the plane, a pixel of the view -> its place in the plane."""
    turn, across = cos(view.rotation) * view.scale, sin(view.rotation) * view.scale
    return torch.tensor([[turn, -across], [across, turn]])


def sampled(features: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """(..., H, W, D) -> the same shape: every slice at the places to which `matrix` leads; 0 outside of the plane."""
    slices = features.movedim(-1, -3)  # (..., D, H, W)
    centre = (torch.tensor(slices.shape[-2:]) - 1) / 2
    places = torch.cat([matrix, (centre - matrix @ centre)[:, None]], 1).to(features)  # (2, 3), from the corner
    resample = AffineTransform(padding_mode="zeros", align_corners=False)
    return resample(slices.flatten(0, -3)[None], places).view_as(slices).movedim(-3, -1)
