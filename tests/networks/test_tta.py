"""Test-time augmentation is an ensemble of views of one network: flips and turns come back exactly where they were."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from conftest import NARROW
from monai.transforms import Affine
from narrow_encoders import NARROW_ENCODERS
from scipy.ndimage import affine_transform
from torch import nn

from scripts.inferers import EmbeddingInferer, VolumeInferer
from scripts.networks import (
    SAM3D,
    DetailPyramid,
    EmbeddingEnsemble,
    EmbeddingPlaneViews,
    EncoderLevels,
    Ensemble,
    Flipped,
    FlippedDepth,
    NoEncoder,
    PlaneViews,
    ResidualDecoder,
    SAMSliceEncoder,
    TwoScaleEncoder,
    ensemble_of,
)
from scripts.networks.plane_views import TURNED, PlaneView, matrix, sampled

CLASSES = 3
WIDTHS = (16, 8, 8, 4)
DETAIL = (8, 8, 8, 8)


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def distinct(decoder: ResidualDecoder) -> ResidualDecoder:
    nn.init.normal_(decoder.heads[-1].weight, std=3)
    return decoder


def on_tokens(seed: int = 0) -> SAM3D:
    encoder = NARROW_ENCODERS["sam"]()
    torch.manual_seed(seed)
    return SAM3D(encoder, distinct(ResidualDecoder(256, CLASSES, channels=WIDTHS))).eval()


def on_pixels(seed: int = 0) -> SAM3D:
    torch.manual_seed(seed)
    decoder = distinct(ResidualDecoder(0, CLASSES, channels=WIDTHS, detail_channels=DETAIL))
    return SAM3D(NoEncoder(), decoder, DetailPyramid(1, channels=DETAIL)).eval()


def on_levels_and_pixels(seed: int = 0) -> SAM3D:
    encoder = NARROW_ENCODERS["sam2"](levels=[8, 4])
    torch.manual_seed(seed)
    levels = EncoderLevels(encoder, 1, DETAIL)
    decoder = distinct(ResidualDecoder(levels.embedding_channels, CLASSES, channels=WIDTHS, detail_channels=DETAIL))
    return SAM3D(encoder, decoder, DetailPyramid(1, channels=DETAIL), levels).eval()


def on_two_scales(seed: int = 0) -> SAM3D:
    encoder = TwoScaleEncoder(NARROW_ENCODERS["sam"](), scale=2)
    torch.manual_seed(seed)
    return SAM3D(encoder, distinct(ResidualDecoder(encoder.out_channels, CLASSES, channels=WIDTHS))).eval()


NETWORKS = [on_tokens, on_pixels, on_levels_and_pixels, on_two_scales]
Make = Callable[..., SAM3D]


@pytest.mark.parametrize("make", NETWORKS)
def test_a_flip_of_embeddings_is_the_flip_of_the_volume(make: Make) -> None:
    network, volume = make(), torch.rand(2, 1, 40, 33, 5)
    logits = FlippedDepth(network)(volume)
    torch.testing.assert_close(logits, network(volume.flip(-1)).flip(-1), atol=1e-4, rtol=1e-4)  # slices in other batches
    embeddings = network.encode(volume)
    assert torch.equal(logits, network.decode(embeddings.flip(-1), (40, 33)).flip(-1))
    assert not torch.allclose(logits, network(volume), atol=1e-2)


@pytest.mark.parametrize("make", NETWORKS)
def test_a_network_that_does_not_mind_the_flip_keeps_its_probabilities(make: Make) -> None:
    network, volume = make(), torch.rand(1, 1, 40, 33, 5)
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d):
            layer.weight.copy_((layer.weight + layer.weight.flip(2)) / 2)  # depth first
    both = EmbeddingEnsemble([network], tta="depth")(volume)
    torch.testing.assert_close(both, network(volume).log_softmax(1), atol=1e-3, rtol=1e-4)


def test_depth_is_the_ensemble_of_a_network_and_its_flip() -> None:
    network, volume = on_tokens(), torch.rand(1, 1, 40, 33, 5)
    expected = EmbeddingEnsemble([network, FlippedDepth(network)])(volume)
    assert torch.equal(ensemble_of(network, tta="depth").as_network()(volume), expected)
    plain = nn.Conv3d(1, 3, 3, padding=1)
    expected = Ensemble([plain, Flipped(plain)])(volume)
    assert torch.equal(ensemble_of(plain, tta="depth").as_network()(volume), expected)
    mean = (plain(volume).softmax(1) + plain(volume.flip(-1)).flip(-1).softmax(1)) / 2
    torch.testing.assert_close(expected.exp(), mean)


@pytest.mark.parametrize("tta", ["plane", "depth", "full"])
@pytest.mark.parametrize("mode", ["windows", "whole"])
@pytest.mark.parametrize("make", [on_tokens, on_levels_and_pixels])
def test_streaming_gives_the_same(make: Make, mode: str, tta: str) -> None:
    regions = mode == "whole"
    ensemble = ensemble_of(make(0), regions, tta=tta, mutual_information=True)
    ensemble.append(make(1))
    network, volume = ensemble.as_network(), torch.rand(1, 1, 32, 17, 11)
    at_once = EmbeddingInferer(roi_depth=6, mode=mode, memory=1)(volume, network)
    for layer in network.modules():
        if isinstance(layer, ResidualDecoder):
            layer.register_forward_pre_hook(lambda *_: pytest.fail("not streamed"))
    streamed = EmbeddingInferer(roi_depth=6, mode=mode, memory=0)(volume, network)
    assert at_once.shape == (1, CLASSES + 1, 32, 17, 11)
    torch.testing.assert_close(streamed, at_once, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("tta", "times"), [("none", 1), ("plane", 1 + len(TURNED)), ("depth", 1), ("full", 1 + len(TURNED))])
@pytest.mark.parametrize("memory", [None, 0])
def test_the_encoder_sees_each_slice_once_for_each_view_of_the_plane(tta: str, times: int, memory: float | None) -> None:
    ensemble = ensemble_of(on_tokens(0), tta=tta)
    ensemble.append(on_tokens(1))
    encoded: list[int] = []
    ensemble.encoder.register_forward_hook(lambda _, inputs, output: encoded.append(inputs[0].shape[-1]))
    VolumeInferer(roi_depth=4, memory=memory)(torch.rand(1, 1, 32, 32, 9), ensemble.as_network())
    assert sum(encoded) == times * 9


def by_hand(network: Callable[[torch.Tensor], torch.Tensor], volume: torch.Tensor) -> torch.Tensor:
    """The mean of probabilities over the views of the plane, in float64 and by SciPy's interpolation."""
    height, width = volume.shape[2:4]
    centre = (np.array([height, width]) - 1) / 2
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1) - centre

    def turned(array: np.ndarray, by: np.ndarray) -> np.ndarray:
        offset = centre - by @ centre
        slices = [
            affine_transform(part, by, offset, order=1, mode="grid-constant")
            for part in np.moveaxis(array, -1, -3).reshape(-1, height, width)
        ]
        return np.moveaxis(np.stack(slices).reshape(*array.shape[:2], -1, height, width), -3, -1)

    total, votes = network(volume).double().softmax(1).numpy(), np.ones((height, width))
    for view in TURNED:
        turn, across = np.cos(view.rotation), np.sin(view.rotation)
        forth = view.scale * np.array([[turn, -across], [across, turn]])
        seen = torch.tensor(turned(volume.double().numpy(), forth), dtype=torch.float32)
        inside = (np.abs(places @ np.linalg.inv(forth).T) <= centre + 1e-4).all(-1)
        back = turned(network(seen).double().softmax(1).numpy(), np.linalg.inv(forth))
        total = total + back * inside[..., None]
        votes = votes + inside
    return torch.tensor(total / votes[..., None])


@pytest.mark.parametrize("make", [on_pixels, lambda: nn.Conv3d(1, 3, 3, padding=1)])
def test_the_mean_over_turned_views_is_that_by_hand(make: Callable[[], nn.Module]) -> None:
    network, volume = make(), torch.rand(1, 1, 32, 20, 3)
    views = EmbeddingPlaneViews(network) if isinstance(network, SAM3D) else PlaneViews(network)
    torch.testing.assert_close(views(volume).double().softmax(1), by_hand(network, volume), atol=2e-4, rtol=1e-3)


def test_a_view_is_what_monais_affine_makes_of_the_slices() -> None:
    volume = torch.rand(1, 24, 31, 4)
    for view in TURNED:
        affine = Affine(
            rotate_params=(0, 0, view.rotation),
            scale_params=(view.scale, view.scale, 1),
            padding_mode="zeros",
            mode="bilinear",
            image_only=True,
        )
        torch.testing.assert_close(sampled(volume, matrix(view)), affine(volume).as_tensor(), atol=1e-4, rtol=1e-4)


def test_where_a_view_sees_nothing_it_has_no_vote() -> None:
    """Also in the corners, where what lies outside of the frame would count as no class at all."""
    network = nn.Conv3d(1, 4, 1)
    nn.init.zeros_(network.weight)
    volume = torch.rand(1, 1, 30, 21, 2)
    for views in (TURNED, [PlaneView(0.7, 1.5)]):
        torch.testing.assert_close(PlaneViews(network, views=views)(volume).softmax(1), network(volume).softmax(1))
    regions = PlaneViews(network, regions=True)(volume)
    torch.testing.assert_close(regions.sigmoid(), network(volume).sigmoid())


@pytest.mark.parametrize("tta", ["plane", "depth", "full"])
@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_an_output_that_is_not_finite_does_not_hide(value: float, tta: str) -> None:
    network = nn.Conv3d(1, 3, 1)
    with torch.no_grad():
        network.bias[1] = value
    assert not ensemble_of(network, tta=tta).as_network()(torch.rand(1, 1, 8, 8, 3)).isfinite().all()


def test_an_encoder_that_mixes_slices_is_refused_in_words() -> None:
    network = SAM3D(SAMSliceEncoder(NARROW, adapter_width=4), ResidualDecoder(256, CLASSES, channels=WIDTHS))
    with pytest.raises(ValueError, match=r"slices see each other \(depth_adapter\); set tta to none"):
        ensemble_of(network, tta="depth")
    assert ensemble_of(network).as_network() is network


def test_full_is_the_views_of_the_plane_of_depth() -> None:
    network, volume = nn.Conv3d(1, 3, 3, padding=1), torch.rand(1, 1, 16, 20, 5)
    plane, full = (ensemble_of(network, tta=tta).as_network() for tta in ("plane", "full"))
    assert torch.equal(plane(volume), PlaneViews(ensemble_of(network))(volume))
    assert torch.equal(full(volume), PlaneViews(ensemble_of(network, tta="depth"))(volume))


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="tta must be none, plane, depth or full, got 'flips'"):
        ensemble_of(nn.Conv3d(1, 2, 1), tta="flips")
