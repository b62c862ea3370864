"""An ensemble is the mean of its networks' probabilities, and its encoder runs once."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from conftest import NARROW
from scipy.special import expit, softmax
from scipy.stats import entropy
from torch import nn

from scripts.inferers import EmbeddingInferer, TemporaryStore, VolumeInferer
from scripts.networks import (
    SAM3D,
    DetailPyramid,
    EmbeddingEnsemble,
    Ensemble,
    FlippedDepth,
    NoEncoder,
    ResidualDecoder,
    SAMSliceEncoder,
    ensemble_of,
)
from scripts.weights.sam_checkpoint import fill_at_random

CLASSES = 4


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def member(seed: int, encoder_seed: int = 0) -> SAM3D:
    """With a decoder of its own, whose logits are far apart."""
    encoder = SAMSliceEncoder(NARROW)
    fill_at_random(encoder, seed=encoder_seed, std=0.2)
    torch.manual_seed(seed)
    decoder = ResidualDecoder(256, CLASSES, channels=(16, 8, 8, 4))
    nn.init.normal_(decoder.heads[-1].weight, std=3)
    return SAM3D(encoder, decoder).eval()


def with_detail(seed: int) -> SAM3D:
    torch.manual_seed(seed)
    decoder = ResidualDecoder(0, CLASSES, channels=(16, 8, 8, 4), detail_channels=(8, 8, 8, 8))
    return SAM3D(NoEncoder(), decoder, DetailPyramid(1, channels=(8, 8, 8, 8))).eval()


def mean_by_hand(logits: list[torch.Tensor], regions: bool) -> torch.Tensor:
    """In float64, by the definitions of softmax and sigmoid."""
    doubles = [some.double() for some in logits]
    if regions:
        mean = sum(1 / (1 + torch.exp(-some)) for some in doubles) / len(doubles)
        return torch.log(mean / (1 - mean))
    return torch.log(sum(torch.exp(some) / torch.exp(some).sum(1, keepdim=True) for some in doubles) / len(doubles))


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("make", [member, with_detail])
def test_an_ensemble_is_the_mean_of_probabilities(make: Callable[[int], SAM3D], regions: bool) -> None:
    members = [make(seed) for seed in range(3)]
    volume = torch.rand(2, 1, 40, 33, 5)
    logits = [network(volume) for network in members]
    expected = mean_by_hand(logits, regions)
    torch.testing.assert_close(EmbeddingEnsemble(members, regions)(volume).double(), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(sum(logits).log_softmax(1) if not regions else sum(logits) / 3, expected.float(), atol=1e-2)


def test_a_network_that_stays_as_it_is_needs_no_ensemble() -> None:
    network = member(1)
    assert ensemble_of(network).as_network() is network
    more = EmbeddingEnsemble([network, member(2)])
    assert more.as_network() is more


def entropy_by_hand(probabilities: np.ndarray, regions: bool) -> np.ndarray:
    """(B, K, ...) -> (B, ...), by SciPy and as a share of the largest."""
    if regions:
        return np.mean(entropy(np.stack([probabilities, 1 - probabilities]), axis=0), axis=1) / np.log(2)
    return entropy(probabilities, axis=1) / np.log(probabilities.shape[1])


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("tta", ["none", "depth"])
def test_mutual_information_is_the_entropy_of_the_mean_less_the_mean_of_entropies(tta: str, regions: bool) -> None:
    members = [with_detail(seed) for seed in range(2)]
    views = [view for network in members for view in ([network] if tta == "none" else [network, FlippedDepth(network)])]
    volume = torch.rand(2, 1, 32, 17, 5)
    logits = [view(volume).double().numpy() for view in views]
    probabilities = [expit(some) if regions else softmax(some, axis=1) for some in logits]
    expected = entropy_by_hand(np.mean(probabilities, axis=0), regions)
    expected -= np.mean([entropy_by_hand(some, regions) for some in probabilities], axis=0)
    ensemble = EmbeddingEnsemble(members, regions, tta=tta, mutual_information=True)
    result = ensemble(volume)
    assert result.shape == (2, CLASSES + 1, 32, 17, 5)
    np.testing.assert_allclose(result[:, -1].numpy(), expected, atol=1e-4)
    assert expected.max() > 0.01
    assert 0 <= result[:, -1].min() <= result[:, -1].max() <= 1
    torch.testing.assert_close(result[:, :-1], EmbeddingEnsemble(members, regions, tta)(volume), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("regions", [False, True])
def test_equal_networks_have_no_mutual_information_also_where_windows_are_blended(regions: bool) -> None:
    ensemble = EmbeddingEnsemble([with_detail(1) for _ in range(3)], regions, mutual_information=True)
    result = EmbeddingInferer(roi_depth=4)(torch.rand(1, 1, 32, 16, 9), ensemble)
    assert result[:, -1].min() >= 0
    assert result[:, -1].max() < 1e-5


def test_views_of_the_plane_disagree_where_the_network_does() -> None:
    """Between all networks on all views; a network that says the same everywhere agrees with itself."""
    constant, other = Constant([1.0, 0.0, 0.0]), Constant([0.0, 2.0, 0.0])
    volume = torch.rand(1, 1, 24, 16, 3)
    same = ensemble_of(constant, tta="full", mutual_information=True).as_network()(volume)
    assert same[:, -1].abs().max() < 1e-5
    ensemble = ensemble_of(constant, tta="full", mutual_information=True)
    ensemble.append(other)
    both = ensemble.as_network()(volume)
    expected = Ensemble([constant, other], mutual_information=True)(volume)
    torch.testing.assert_close(both, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("tta", ["none", "depth", "plane", "full"])
def test_disagreement_is_the_share_of_pairs_of_networks_that_differ_whatever_the_views(tta: str, regions: bool) -> None:
    members, volume = [with_detail(seed) for seed in range(3)], torch.rand(2, 1, 32, 17, 5)
    ensemble = ensemble_of(members[0], regions, tta, mutual_information=True, disagreement=True)
    for network in members[1:]:
        ensemble.append(network)
    result = ensemble.as_network()(volume)
    logits = [network(volume) for network in members]
    pairs = [(logits[i], logits[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    apart = [((a >= 0) != (b >= 0)).sum(1) if regions else a.argmax(1) != b.argmax(1) for a, b in pairs]
    expected = sum(one.float() for one in apart) / 3
    assert result.shape == (2, CLASSES + 2, 32, 17, 5)
    torch.testing.assert_close(result[:, -1], expected)
    assert expected.max() > 0.5
    plain = ensemble_of(members[0], regions, tta, mutual_information=True)
    for network in members[1:]:
        plain.append(network)
    torch.testing.assert_close(result[:, :-1], plain.as_network()(volume))


@pytest.mark.parametrize("tta", ["none", "depth", "plane"])
def test_a_single_network_disagrees_with_nobody(tta: str) -> None:
    network = ensemble_of(with_detail(1), tta=tta, disagreement=True).as_network()
    assert network(torch.rand(1, 1, 16, 16, 3)).shape[1] == CLASSES


@pytest.mark.parametrize("regions", [False, True])
def test_logits_far_beyond_what_a_probability_can_hold_keep_their_order(regions: bool) -> None:
    networks = [Constant([200.0, -150.0, -160.0]), Constant([300.0, -350.0, -320.0])]
    result = Ensemble(networks, regions)(torch.zeros(1, 1, 1, 1, 1)).flatten()
    assert result.isfinite().all()
    assert result.argsort(descending=True).tolist() == [0, 1, 2]


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_an_output_that_is_not_finite_does_not_hide_in_the_mean(value: float, regions: bool) -> None:
    networks = [Constant([1.0, 2.0, 3.0]), Constant([1.0, value, 3.0]), Constant([1.0, 2.0, 3.0])]
    assert not Ensemble(networks, regions)(torch.zeros(1, 1, 1, 1, 1)).isfinite().all()


class Constant(nn.Module):
    """Gives the same logits everywhere."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits).view(1, -1, 1, 1, 1))

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(volume), -1, *volume.shape[2:])


@pytest.mark.parametrize("regions", [False, True])
def test_equal_networks_give_the_masks_of_one_also_over_windows(regions: bool) -> None:
    network = member(1)
    volume = torch.rand(1, 1, 32, 48, 9)
    inferer = EmbeddingInferer(roi_depth=4)
    alone, together = inferer(volume, network), inferer(volume, EmbeddingEnsemble([network, member(1)], regions))
    if regions:
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert torch.equal(together >= 0, alone >= 0) if regions else torch.equal(together.argmax(1), alone.argmax(1))


@pytest.mark.parametrize("mode", ["windows", "whole"])
@pytest.mark.parametrize("make", [member, with_detail])
def test_streaming_gives_the_same(make: Callable[[int], SAM3D], mode: str) -> None:
    ensemble = EmbeddingEnsemble([make(seed) for seed in range(2)])
    volume = torch.rand(1, 1, 40, 33, 19)
    at_once = EmbeddingInferer(roi_depth=6, mode=mode, memory=1)(volume, ensemble)
    for network in ensemble.networks:
        network.decoder.register_forward_pre_hook(lambda *_: pytest.fail("not streamed"))
    streamed = EmbeddingInferer(roi_depth=6, mode=mode, memory=0)(volume, ensemble)
    torch.testing.assert_close(streamed, at_once, atol=1e-4, rtol=1e-4)


def test_a_stream_has_the_parts_that_were_named() -> None:
    ensemble = EmbeddingEnsemble([member(seed) for seed in range(2)])
    volume = torch.rand(1, 1, 32, 32, 7)
    store = TemporaryStore()
    store.append(ensemble.encode(volume).movedim(-1, 2))
    parts = [*ensemble.stream(store, (32, 32), TemporaryStore, 3)]
    assert [part.shape[-1] for part in parts] == [3, 3, 1]


@pytest.mark.parametrize("memory", [None, 0])
def test_each_slice_is_encoded_once_for_all_networks(memory: float | None) -> None:
    encoded: list[torch.Tensor] = []
    members = [member(seed) for seed in range(3)]
    for encoder in {network.encoder for network in members}:
        encoder.register_forward_hook(lambda _, inputs, output: encoded.append(inputs[0]))
    volume = torch.rand(1, 1, 32, 32, 9)
    VolumeInferer(roi_depth=4, memory=memory)(volume, EmbeddingEnsemble(members))
    assert torch.equal(torch.cat(encoded, -1), volume)


def test_the_encoder_lies_in_memory_once() -> None:
    ensemble = EmbeddingEnsemble([member(seed) for seed in range(3)])
    assert len({id(network.encoder) for network in ensemble.networks}) == 1
    assert ensemble.encoder is ensemble.networks[0].encoder


def test_more_memory_is_planned_than_for_one_decoder() -> None:
    network = member(0)
    assert EmbeddingEnsemble([network, member(1)]).decoder.bytes_per_voxel > network.decoder.bytes_per_voxel + 4 * CLASSES


def test_a_network_with_another_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="must have one and the same encoder"):
        EmbeddingEnsemble([member(0), member(1, encoder_seed=1)])


def test_an_encoder_that_was_trained_in_one_tensor_is_refused() -> None:
    tuned = member(1)
    next(tuned.encoder.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(ValueError, match="must have one and the same encoder"):
        EmbeddingEnsemble([member(0), tuned])


def test_a_network_that_alone_sees_the_pixels_is_refused() -> None:
    detailed = with_detail(0)
    detailed.encoder = member(0).encoder
    with pytest.raises(ValueError, match="must see the pixels, or none"):
        EmbeddingEnsemble([member(0), detailed])


def test_networks_without_an_encoder_are_averaged_window_by_window() -> None:
    networks = [nn.Conv3d(1, 3, 3, padding=1) for _ in range(2)]
    ensemble = ensemble_of(networks[0])
    ensemble.append(networks[1])
    assert type(ensemble) is Ensemble
    volume = torch.rand(1, 1, 16, 16, 4)
    expected = mean_by_hand([network(volume) for network in networks], regions=False)
    torch.testing.assert_close(VolumeInferer(roi_depth=4)(volume, ensemble).double(), expected, atol=1e-5, rtol=1e-5)
