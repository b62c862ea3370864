"""An encoder's finer levels: folded into its embeddings, unfolded for the decoder's stages, whole and streamed."""

from typing import Any

import pytest
import torch
from narrow_encoders import NARROW_ENCODERS
from torch.testing import assert_close

from scripts.inferers import EmbeddingInferer, TemporaryStore
from scripts.networks import SAM3D, DetailPyramid, EmbeddingsToLogits, EncoderLevels, ResidualDecoder, SAMSliceEncoder
from scripts.networks.segment_anything import ImageEncoderViT
from scripts.weights.sam_checkpoint import fill_at_random

PYRAMID = (4, 8, 8, 16)  # finest first
DETAIL = pytest.mark.parametrize("detail", [False, True], ids=["levels", "levels and pyramid"])


def build(detail: bool, levels: tuple[int, ...] = (8, 4), modalities: int = 1, **options: Any) -> SAM3D:
    encoder = NARROW_ENCODERS["sam2"](levels=levels)
    channels = PYRAMID[::-1] if detail else [0, 8 if 8 in levels else 0, 6 if 4 in levels else 0, 0]
    finer = EncoderLevels(encoder, modalities, channels)
    decoder = ResidualDecoder(
        finer.embedding_channels, 3, channels=(16, 8, 8, 4), detail_channels=channels, **{"shortcut_kernel": 1, **options}
    )
    return SAM3D(encoder, decoder, DetailPyramid(modalities, PYRAMID) if detail else None, finer).eval()


@DETAIL
@pytest.mark.parametrize("modalities", [1, 2])
def test_the_stages_get_the_embedding_and_the_levels_themselves(detail: bool, modalities: int) -> None:
    """By SAM 2's own image encoder on each modality's slices, without folding."""
    network, volume = build(detail, modalities=modalities), torch.rand(1, modalities, 32, 64, 3)
    encoder, trunk = network.encoder, network.encoder.image_encoder
    images = volume.permute(0, 1, 4, 2, 3).reshape(-1, 1, 32, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.pixel_mean, encoder.pixel_std))
    outputs = trunk((255 * images - mean) / std, trunk.trunk.positions(8, 16))  # at strides 16, 8 and 4
    coarse, at_8, at_4 = (
        part.unflatten(0, (modalities, 3)).transpose(1, 2).flatten(0, 1)[None].contiguous() for part in outputs
    )  # (1, M C, D, h, w)
    narrow = [None, network.levels.narrow[0](at_8), network.levels.narrow[1](at_4), None]
    if detail:
        pyramid = network.detail(volume.movedim(-1, 2))
        narrow = [level if finer is None else level + finer for level, finer in zip(pyramid, narrow, strict=True)]
    assert_close(network(volume), network.decoder(coarse.movedim(2, -1), narrow)[0], atol=1e-4, rtol=1e-4)


@DETAIL
@pytest.mark.parametrize("levels", [(8,), (4,), (8, 4)])
@pytest.mark.parametrize(("depth", "slices"), [(1, 1), (5, 2), (7, 16)])
def test_streaming_gives_the_same_logits(detail: bool, levels: tuple[int, ...], depth: int, slices: int) -> None:
    network, volume, store = build(detail, levels), torch.rand(1, 1, 40, 33, depth), TemporaryStore()
    with torch.no_grad():
        whole = network(volume)
        store.append(network.encode(volume).movedim(-1, 2))
        streamed = torch.cat(list(network.stream(store, (40, 33), TemporaryStore, slices)), -1)
    assert_close(streamed, whole, atol=1e-4, rtol=1e-4)


@DETAIL
@pytest.mark.parametrize("mode", ["windows", "whole"])
def test_the_inferer_applies_it_in_windows_and_without_memory(detail: bool, mode: str) -> None:
    network, volume = build(detail), torch.rand(1, 1, 33, 20, 11)
    with torch.no_grad():
        at_once = EmbeddingInferer(roi_depth=4, mode=mode)(volume, network)
        streamed = EmbeddingInferer(roi_depth=4, mode=mode, memory=0)(volume, network)
    assert at_once.shape == (1, 3, 33, 20, 11)
    assert_close(streamed, at_once, atol=1e-4, rtol=1e-4)


@DETAIL
def test_what_trains_on_embeddings_gives_what_the_network_gives(detail: bool) -> None:
    network, volume = build(detail), torch.rand(1, 1, 40, 33, 6)
    assert torch.equal(EmbeddingsToLogits(network, (40, 33))(network.encode(volume)), network(volume))


@DETAIL
def test_every_trained_parameter_gets_a_gradient_and_is_saved(detail: bool) -> None:
    network = build(detail).train()
    sum(level.square().sum() for level in network(torch.rand(1, 1, 32, 64, 3))).backward()
    assert all(parameter.grad.any() for name, parameter in network.named_parameters() if not name.startswith("encoder."))
    assert {"levels.narrow.0.weight", "levels.narrow.1.weight", "encoder_sha256"} <= network.state_dict().keys()


def test_torchscript_equals_the_network() -> None:
    network = build(True)
    traced = torch.jit.trace(network, torch.rand(1, 1, 40, 50, 2), check_trace=False)
    volume = torch.rand(1, 1, 40, 50, 2)
    assert_close(traced(volume), network(volume), atol=1e-4, rtol=0)


def test_other_levels_change_the_digest() -> None:
    digests = [NARROW_ENCODERS["sam2"](levels=levels).sha256() for levels in ([], [8], [4], [8, 4])]
    assert len({bytes(digest.tolist()) for digest in digests}) == 4


@pytest.mark.parametrize("levels", [[4, 8], [16], [8, 8], [2]])
def test_levels_that_are_not_there_are_refused_in_words(levels: list[int]) -> None:
    with pytest.raises(ValueError, match="levels must be strides of 8, 4, falling, got"):
        NARROW_ENCODERS["sam2"](levels=levels)


def test_an_encoder_without_levels_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="SAMSliceEncoder gives no finer levels; take an encoder that does"):
        EncoderLevels(NARROW_ENCODERS["sam"](), 1, (0, 8, 8, 0))


def test_blocks_of_a_vit_go_with_detail() -> None:
    """Whole, streamed and as cached: the pixels stand behind the blocks' channels."""
    narrow = NARROW_ENCODERS["sam"]
    encoder = narrow(blocks=[0, 2])
    assert isinstance(encoder, SAMSliceEncoder) and isinstance(encoder.image_encoder, ImageEncoderViT)
    decoder = ResidualDecoder(encoder.out_channels, 3, (16, 8, 8, 4), detail_channels=PYRAMID[::-1], entrance_channels=8)
    network, volume, store = (
        SAM3D(encoder, decoder, DetailPyramid(1, PYRAMID)).eval(),
        torch.rand(1, 1, 40, 33, 5),
        TemporaryStore(),
    )
    fill_at_random(decoder, seed=1, std=0.2)
    with torch.no_grad():
        whole = network(volume)
        assert torch.equal(EmbeddingsToLogits(network, (40, 33))(network.encode(volume)), whole)
        store.append(network.encode(volume).movedim(-1, 2))
        streamed = torch.cat(list(network.stream(store, (40, 33), TemporaryStore, 2)), -1)
    assert_close(streamed, whole, atol=1e-4, rtol=1e-4)
