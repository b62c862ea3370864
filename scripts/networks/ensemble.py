"""Several trained networks -> one, whose probabilities are the mean of theirs."""

from collections.abc import Iterable, Iterator
from math import log
from typing import cast

import torch
from torch import nn

from ..basics.contracts import DecodesEmbeddings, DepthStore, EmbeddingNetwork, NewStore, SliceEncoder
from ..basics.probabilities import entropy, log_probabilities, logits_of
from .flipped_depth import Flipped, FlippedDepth
from .plane_views import EmbeddingPlaneViews, MemoryOfDecoders, PlaneViews

TTA = ("none", "plane", "depth", "full")


class Ensemble(nn.Module):
    """(B, M, H, W, D) -> (B, K, H, W, D), the logarithm of the mean of the networks' softmax; with regions the logit of the
    mean of their sigmoid.

    So what is behind a single network stays right behind an ensemble: the likeliest class is the largest value, and a region
    begins at 0. Where a network's output is not finite, neither is the ensemble's. For networks in evaluation.

    Args:
        networks: that agree in classes and in what they see.
        regions: whether each channel is a region by itself.
        tta: test-time augmentation, an ensemble of views of the same network. `depth`: each network also sees the slices in
            reverse order (`FlippedDepth`). `plane`: turned and scaled views of the plane (`as_network`, `PlaneViews`). `full`:
            both.
        mutual_information: whether to give one more channel behind the K: the entropy of the mean less the mean of the members'
            entropies, from 0 where they agree to 1 (Depeweg et al., "Decomposition of uncertainty in Bayesian deep learning",
            2018; normalised as `basics.probabilities.entropy`). With `tta` each view is a member.
        disagreement: whether to give one more behind these: the share of pairs of networks that call the voxel by different
            classes, from 0 to 1; with regions the sum over them of the pairs of which one is inside. These are the networks on
            the volume as it is, whatever `tta`; a single one has no such channel.

    Raises:
        ValueError: for another tta, and for one that a network's encoder rules out, see `FlippedDepth`.

    Example:
        >>> import torch
        >>> from scripts.networks import Ensemble
        >>> networks = [torch.nn.Conv3d(1, 3, 1) for _ in range(2)]
        >>> volume = torch.rand(1, 1, 4, 4, 2)
        >>> mean = (networks[0](volume).softmax(1) + networks[1](volume).softmax(1)) / 2
        >>> torch.allclose(Ensemble(networks)(volume).exp(), mean)
        True
    """

    def __init__(
        self,
        networks: Iterable[nn.Module],
        regions: bool = False,
        tta: str = "none",
        mutual_information: bool = False,
        disagreement: bool = False,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList()
        self.regions = regions
        if tta not in TTA:
            raise ValueError(f"tta must be {', '.join(TTA[:-1])} or {TTA[-1]}, got {tta!r}")
        self.tta = tta
        self.mutual_information = mutual_information
        self.disagreement = disagreement
        for network in networks:
            self.append(network)

    def append(self, network: nn.Module) -> None:
        self.networks.append(network)
        if self.tta in ("depth", "full"):
            self.networks.append(self._flipped(network))

    def as_network(self) -> nn.Module:
        """What is applied to volumes: the network itself where it is alone; with `tta` plane or full the ensemble in its views
        of the plane."""
        if self.tta in ("plane", "full"):
            return self._turned()
        return self.networks[0] if len(self.networks) == 1 else self

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self._mean(network(volume) for network in self.networks)

    def _flipped(self, network: nn.Module) -> nn.Module:
        return Flipped(network)

    def _turned(self) -> nn.Module:
        return PlaneViews(self, self.regions, self.mutual_information, self._compared)

    @property
    def _compared(self) -> bool:
        return self.disagreement and len(self._upright) > 1

    @property
    def _upright(self) -> list[nn.Module]:
        """The networks on the volume as it is."""
        return [network for network in self.networks if not isinstance(network, Flipped)]

    def _mean(self, logits: Iterable[torch.Tensor]) -> torch.Tensor:
        """Of each network's logits, which need not lie in memory together."""
        total, entropies, votes = None, 0, 0
        for network, some in zip(self.networks, logits, strict=True):
            member = log_probabilities(some, self.regions)
            total = member if total is None else torch.logaddexp(total, member)
            if self.mutual_information:
                entropies = entropies + entropy(member, self.regions)
            if self._compared and not isinstance(network, Flipped):
                votes = votes + self._vote(some)
        count = len(self.networks)
        mean = cast(torch.Tensor, total) - log(count)
        channels = [logits_of(mean, self.regions)]
        if self.mutual_information:
            channels.append((entropy(mean, self.regions) - entropies / count).clamp_min(0))
        if self._compared:
            channels.append(self._apart(cast(torch.Tensor, votes)))
        return torch.cat(channels, 1)

    def _vote(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, K, ...), 1 for the class of the voxel, or for each region that it is in."""
        if self.regions:
            return (logits >= 0).byte()
        return torch.zeros_like(logits, dtype=torch.uint8).scatter_(1, logits.argmax(1, keepdim=True), 1)

    def _apart(self, votes: torch.Tensor) -> torch.Tensor:
        """(B, K, ...), how many networks voted for each -> (B, 1, ...), the share of their pairs that did not agree."""
        count, votes = len(self._upright), votes.float()
        others = votes * (count - votes)  # pairs of which one is in it; a pair of different classes is so in both
        return others.sum(1, keepdim=True) / (count * (count - 1) / 2) / (1 if self.regions else 2)


class EmbeddingEnsemble(Ensemble):
    """One of networks with the same slice encoder, such as `SAM3D`: each slice is encoded once for all of them.

    Args:
        networks: whose encoder becomes that of the first, so that it lies in memory once.
        regions: whether each channel is a region by itself.
        tta: as of an `Ensemble`.
        mutual_information: as of an `Ensemble`.
        disagreement: as of an `Ensemble`.

    Raises:
        ValueError: for a network whose encoder has other parameters than the first's, or of which only one has detail; and as
            an `Ensemble`.

    Example:
        >>> import torch
        >>> from scripts.networks import SAM3D, EmbeddingEnsemble, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> encoder = SAMSliceEncoder(vit)
        >>> networks = [SAM3D(encoder, ResidualDecoder(256, out_channels=4)).eval() for _ in range(2)]
        >>> tuple(EmbeddingEnsemble(networks)(torch.rand(1, 1, 40, 33, 6)).shape)
        (1, 4, 40, 33, 6)
    """

    def append(self, network: nn.Module) -> None:
        added = cast(EmbeddingNetwork, network)
        if self.networks:
            first = self._members[0]
            if (added.detail is None) != (first.detail is None):
                raise ValueError("all networks of an ensemble must see the pixels, or none; leave the others out")
            if added.encoder is not first.encoder and not _are_equal(added.encoder, first.encoder):
                raise ValueError(
                    "all networks of an ensemble must have one and the same encoder, since it runs once for all of them, and "
                    "here it was trained, or is another; leave this network out"
                )
            if added.encoder is not first.encoder:
                added.encoder = first.encoder
        super().append(network)

    def _flipped(self, network: nn.Module) -> nn.Module:
        return FlippedDepth(network)

    def _turned(self) -> nn.Module:
        return EmbeddingPlaneViews(self, self.regions, self.mutual_information, self._compared)

    @property
    def encoder(self) -> SliceEncoder:
        return self._members[0].encoder

    @property
    def decoder(self) -> "MemoryOfDecoders":
        return MemoryOfDecoders(2 * max(network.decoder.bytes_per_voxel for network in self._members))

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(volume), (volume.shape[2], volume.shape[3]))

    def encode(self, volume: torch.Tensor) -> torch.Tensor:
        """(B, M, H, W, D) -> (B, C, h, w, D), which all decoders share."""
        return self._members[0].encode(volume)

    def decode(self, embeddings: torch.Tensor, plane: tuple[int, int]) -> torch.Tensor:
        """(B, C, h, w, D) -> (B, K, H, W, D), one decoder after the other."""
        return self._mean(cast(torch.Tensor, network.decode(embeddings, plane)) for network in self._members)

    def stream(
        self, embeddings: DepthStore, plane: tuple[int, int], new_store: NewStore, slices: int
    ) -> Iterator[torch.Tensor]:
        """`decode`, `slices` at a time: the decoders side by side, each with stores of its own."""
        streams = [network.stream(embeddings, plane, new_store, slices) for network in self._members]
        return map(self._mean, zip(*streams, strict=True))

    @property
    def _members(self) -> list[EmbeddingNetwork]:
        return [cast(EmbeddingNetwork, network) for network in self.networks]


def ensemble_of(
    network: nn.Module,
    regions: bool = False,
    tta: str = "none",
    mutual_information: bool = False,
    disagreement: bool = False,
) -> Ensemble:
    """An ensemble for the kind of network that this is.

    Args:
        network: the first.
        regions: whether each channel is a region by itself.
        tta: as of an `Ensemble`.
        mutual_information: as of an `Ensemble`.
        disagreement: as of an `Ensemble`.

    Returns:
        An `EmbeddingEnsemble` where encoder and decoder may be run apart, else an `Ensemble`; others can be appended.

    Example:
        >>> import torch
        >>> from scripts.networks import ensemble_of
        >>> ensemble = ensemble_of(torch.nn.Conv3d(1, 3, 1))
        >>> ensemble.append(torch.nn.Conv3d(1, 3, 1))
        >>> len(ensemble.networks)
        2
    """
    kind = EmbeddingEnsemble if isinstance(network, DecodesEmbeddings) else Ensemble
    return kind([cast(nn.Module, network)], regions, tta, mutual_information, disagreement)


def _are_equal(one: SliceEncoder, other: SliceEncoder) -> bool:
    tensors, others = (cast(nn.Module, encoder).state_dict() for encoder in (one, other))
    return tensors.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in tensors.items())
