"""The detail path: the decoder sees the pixels, whole and streamed, with an encoder and without."""

from typing import Any

import pytest
import torch
from conftest import NARROW
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.basics.tokens import pixels_to_tokens, tokens_to_pixels
from scripts.inferers import EmbeddingInferer, TemporaryStore
from scripts.networks import SAM3D, DetailPyramid, EmbeddingsToLogits, NoEncoder, ResidualDecoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

LEVELS = (4, 8, 8, 16)  # finest first


def build(with_encoder: bool = True, modalities: int = 1, **options: Any) -> SAM3D:
    encoder = SAMSliceEncoder(NARROW) if with_encoder else NoEncoder()
    fill_at_random(encoder, seed=0, std=0.2)
    decoder = ResidualDecoder(
        modalities * encoder.out_channels,
        3,
        channels=(16, 8, 8, 4),
        detail_channels=LEVELS[::-1],
        **{"shortcut_kernel": 1, "entrance_channels": 8, "embedding_dropout": 0.5, **options},
    )
    return SAM3D(encoder, decoder, DetailPyramid(modalities, LEVELS)).eval()


def by_the_formulas(network: SAM3D, volume: torch.Tensor) -> list[torch.Tensor]:
    """Levels and stages with torch's own layers, D last, channels concatenated."""

    def convolved(module: nn.Conv3d, features: torch.Tensor, stride: tuple[int, int, int] = (1, 1, 1)) -> torch.Tensor:
        padding = tuple(size // 2 for size in module.kernel_size)
        return F.conv3d(features, module.weight.movedim(2, -1), module.bias, stride, padding)

    def normalised(features: torch.Tensor) -> torch.Tensor:
        return F.instance_norm(features)

    levels, features = [], volume
    for level in network.detail.levels:
        features = F.leaky_relu(normalised(convolved(level.shrink, features, (2, 2, 1))))
        features = F.leaky_relu(normalised(convolved(level.refine, features)))
        levels.insert(0, features)
    below = [network.encoder(volume)]
    if len(network.decoder.entrance):
        below = [convolved(network.decoder.entrance[-1], below[0])]
    logits = []
    for stage, head, level in zip(network.decoder.stages, network.decoder.heads, levels, strict=True):
        g = torch.cat([*below, level], 1)
        r1 = normalised(convolved(stage.conv2, F.leaky_relu(normalised(convolved(stage.conv1, g)))))
        features = F.leaky_relu(r1 + normalised(convolved(stage.shortcut, g)))
        below = [F.interpolate(features, scale_factor=(2, 2, 1), mode="trilinear")]
        logits.insert(0, convolved(head, below[0]))
    return logits


@pytest.mark.parametrize("with_encoder", [True, False])
@pytest.mark.parametrize("modalities", [1, 2])
def test_it_is_what_its_formulas_say(with_encoder: bool, modalities: int) -> None:
    network = build(with_encoder, modalities)
    volume = torch.rand(1, modalities, 32, 48, 5)
    logits = network.decoder(network.encoder(volume), network.detail(volume.movedim(-1, 2)))
    for level, expected in zip(logits, by_the_formulas(network, volume), strict=True):
        assert_close(level, expected, atol=1e-4, rtol=1e-4)
    assert_close(network(volume), logits[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"entrance_channels": None}, {"shortcut_kernel": 3}])
@pytest.mark.parametrize("with_encoder", [True, False])
@pytest.mark.parametrize(("depth", "slices"), [(1, 1), (2, 1), (5, 2), (7, 16)])
def test_streaming_gives_the_same_logits(with_encoder: bool, options: dict[str, Any], depth: int, slices: int) -> None:
    network = build(with_encoder, **options)
    volume = torch.rand(1, 1, 40, 33, depth)
    store = TemporaryStore()
    with torch.no_grad():
        whole = network(volume)
        store.append(network.encode(volume).movedim(-1, 2))
        streamed = torch.cat(list(network.stream(store, (40, 33), TemporaryStore, slices)), -1)
    assert_close(streamed, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("with_encoder", [True, False])
@pytest.mark.parametrize("mode", ["windows", "whole"])
def test_the_inferer_applies_it_in_windows_and_without_memory(with_encoder: bool, mode: str) -> None:
    network = build(with_encoder)
    volume = torch.rand(1, 1, 33, 20, 11)
    with torch.no_grad():
        at_once = EmbeddingInferer(roi_depth=4, mode=mode)(volume, network)
        streamed = EmbeddingInferer(roi_depth=4, mode=mode, memory=0)(volume, network)
    assert at_once.shape == (1, 3, 33, 20, 11)
    assert_close(streamed, at_once, atol=1e-4, rtol=1e-4)


def test_a_single_pixel_changes_the_mask_beyond_what_its_token_says() -> None:
    """Two images with the same embeddings give different logits: the decoder sees more than tokens."""
    network = build()
    volume, other = torch.rand(2, 1, 1, 32, 32, 3)
    embeddings = network.encode(volume)
    embeddings[:, -256:] = network.encode(other)[:, -256:]
    assert not torch.allclose(network.decode(embeddings, (32, 32)), network(volume), atol=1e-3)


@pytest.mark.parametrize("plane", [(33, 47), (16, 16), (1, 20)])
def test_any_plane_is_padded_and_cropped_back(plane: tuple[int, int]) -> None:
    network = build().train()
    levels = network(torch.rand(2, 1, *plane, 3))
    assert [tuple(level.shape[2:]) for level in levels] == [(-(-plane[0] >> i), -(-plane[1] >> i), 3) for i in range(4)]


def test_pixels_are_the_channels_of_their_token() -> None:
    volume = torch.rand(2, 3, 20, 33, 4)
    tokens = pixels_to_tokens(volume)
    assert tokens.shape == (2, 768, 2, 3, 4)
    assert torch.equal(tokens[0, 256 + 16 * 3 + 1, 1, 2, 0], volume[0, 1, 16 + 3, 32 + 0, 0] * 0)  # beyond the volume: zero
    assert torch.equal(tokens[0, 256 + 16 * 3 + 1, 1, 1, 2], volume[0, 1, 16 + 3, 16 + 1, 2])
    back = tokens_to_pixels(tokens.movedim(-1, 2)).movedim(2, -1)
    assert torch.equal(back[:, :, :20, :33], volume)
    assert not back[:, :, 20:].any() and not back[:, :, :, 33:].any()


def test_what_trains_on_embeddings_gives_what_the_network_gives() -> None:
    network = build()
    volume = torch.rand(1, 1, 40, 33, 6)
    assert torch.equal(EmbeddingsToLogits(network, (40, 33))(network.encode(volume)), network(volume))


def test_embeddings_are_hidden_in_training_alone() -> None:
    network = build(embedding_dropout=0.9)
    embeddings = network.encode(torch.rand(1, 1, 32, 32, 3))
    assert torch.equal(network.decode(embeddings, (32, 32)), network.decode(embeddings, (32, 32)))
    first, second = (network.train().decode(embeddings, (32, 32))[0] for _ in range(2))
    assert not torch.allclose(first, second)


def test_levels_do_not_outlive_their_stage() -> None:
    network = build()
    levels = network.detail(torch.rand(1, 1, 3, 32, 32))
    network.decoder(network.encoder(torch.rand(1, 1, 32, 32, 3)), levels)
    assert levels == []


def test_gradients_reach_every_parameter() -> None:
    network = build().train()
    sum(level.square().mean() for level in network(torch.rand(1, 1, 32, 48, 4))).backward()
    trained = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert all(gradient is not None and gradient.any() for gradient in trained.values())
    assert not any(name.startswith("encoder") for name in trained)


def test_a_network_without_an_encoder_saves_its_trained_weights_and_that_there_is_none() -> None:
    network, other = build(with_encoder=False), build(with_encoder=False)
    assert [name for name in network.state_dict() if name.startswith("encoder")] == ["encoder_sha256"]
    other.load_state_dict(network.state_dict())
    volume = torch.rand(1, 1, 32, 32, 3)
    assert torch.equal(other(volume), network(volume))


@pytest.mark.parametrize("trained_with", [True, False])
def test_weights_trained_with_and_without_an_encoder_are_not_exchanged(trained_with: bool) -> None:
    with pytest.raises(ValueError, match=r"trained on the encoder with sha256 [0-9a-f]{64}, but the encoder at hand has"):
        build(not trained_with).load_state_dict(build(trained_with).state_dict())


def test_what_reads_nothing_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="--network detail\\+no_encoder"):
        ResidualDecoder(0, 4)
    with pytest.raises(ValueError, match="one number for each of the 4 stages, got \\[8, 8\\]"):
        ResidualDecoder(256, 4, detail_channels=(8, 8))
