"""SAM3D: sizes in and out, what its state dictionary holds, and its export."""

from collections.abc import Mapping

import pytest
import torch
from conftest import NARROW
from monai.networks import copy_model_state
from torch.testing import assert_close

from scripts.networks import SAM3D, EmbeddingsToLogits, ResidualDecoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random


def build(encoder_seed: int = 0, trainable: bool = False) -> SAM3D:
    """As the fixture `narrow_network`, with a decoder of its own."""
    encoder = SAMSliceEncoder(NARROW, trainable=trainable)
    fill_at_random(encoder, encoder_seed, std=0.2)
    return SAM3D(encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4))).eval()


def snapshot(network: SAM3D) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def assert_equal(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert_close(dict(tensors), dict(expected), atol=0, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1, 33, 47, 1), (2, 1, 20, 17, 3), (1, 1, 16, 16, 2)])
def test_the_mask_has_the_size_of_the_volume(narrow_network: SAM3D, shape: tuple[int, ...]) -> None:
    assert narrow_network(torch.rand(shape)).shape == (shape[0], 4, *shape[2:])


def test_training_returns_four_levels_finest_first(narrow_network: SAM3D) -> None:
    volume = torch.rand(1, 1, 33, 47, 2)
    mask_logits = narrow_network(volume)
    levels = narrow_network.train()(volume)
    assert [tuple(level.shape[2:]) for level in levels] == [(33, 47, 2), (17, 24, 2), (9, 12, 2), (5, 6, 2)]
    assert_close(levels[0], mask_logits)


def test_several_modalities_give_one_mask(narrow_encoder: SAMSliceEncoder) -> None:
    network = SAM3D(narrow_encoder, ResidualDecoder(2 * narrow_encoder.out_channels, 4, channels=(16, 8, 8, 4))).eval()
    assert network(torch.rand(1, 2, 20, 17, 3)).shape == (1, 4, 20, 17, 3)


def test_a_frozen_encoder_is_saved_as_its_digest(narrow_network: SAM3D) -> None:
    state = narrow_network.state_dict()
    assert [key for key in state if not key.startswith("decoder.")] == ["encoder_sha256"]
    assert state["encoder_sha256"].dtype == torch.uint8
    assert torch.equal(state["encoder_sha256"], narrow_network.encoder.sha256())
    assert {key for key in state if key.startswith("decoder.")} == {
        f"decoder.{key}" for key in narrow_network.decoder.state_dict()
    }


def test_a_trainable_encoder_is_saved_whole() -> None:
    network = build(trainable=True)
    assert_equal(network.state_dict(), snapshot(network))


@pytest.mark.parametrize("trainable", [False, True], ids=["frozen", "trainable"])
def test_a_strict_load_gives_the_same_network(trainable: bool) -> None:
    saved, network = build(trainable=trainable), build(trainable=trainable)
    state = saved.state_dict()
    keys = list(state)
    network.load_state_dict(state, strict=True)
    assert_equal(snapshot(network), snapshot(saved))
    assert list(state) == keys  # the caller's dictionary is left alone


def test_another_encoder_is_refused_with_both_digests_and_nothing_is_loaded(narrow_network: SAM3D) -> None:
    other = build(encoder_seed=1)
    before = snapshot(other)
    with pytest.raises(ValueError, match="encoder_seed") as refusal:
        other.load_state_dict(narrow_network.state_dict())
    for network in (narrow_network, other):
        assert bytes(network.encoder.sha256().tolist()).hex() in str(refusal.value)
    assert_equal(snapshot(other), before)


def test_a_whole_checkpoint_loads_into_a_frozen_network(narrow_network: SAM3D) -> None:
    whole = build(encoder_seed=1, trainable=True)
    narrow_network.load_state_dict(whole.state_dict())
    assert_equal(snapshot(narrow_network), snapshot(whole))
    assert torch.equal(narrow_network.state_dict()["encoder_sha256"], whole.encoder.sha256())


def test_a_frozen_checkpoint_loads_into_a_trainable_network(narrow_network: SAM3D) -> None:
    """Two-stage training: first the decoder, then all."""
    trainable = build(trainable=True)
    trainable.load_state_dict(narrow_network.state_dict())
    assert_equal(snapshot(trainable), snapshot(narrow_network))


def test_a_checkpoint_without_encoder_and_digest_is_refused(narrow_network: SAM3D) -> None:
    state = narrow_network.state_dict()
    del state["encoder_sha256"]
    with pytest.raises(RuntimeError, match="Missing key"):
        build().load_state_dict(state)


def test_monai_can_copy_the_state(narrow_network: SAM3D) -> None:
    copied = build()
    _, updated, unchanged = copy_model_state(copied, narrow_network)
    assert sorted(updated) == sorted(narrow_network.state_dict())
    assert unchanged == []
    assert_equal(snapshot(copied), snapshot(narrow_network))


@pytest.fixture
def traced(narrow_network: SAM3D) -> torch.jit.ScriptModule:
    """The network exported with TorchScript, as `ckpt_export` does."""
    return torch.jit.trace(narrow_network, torch.rand(1, 1, 240, 50, 2), check_trace=False)


def test_torchscript_equals_the_network(narrow_network: SAM3D, traced: torch.jit.ScriptModule) -> None:
    volume = torch.rand(1, 1, 240, 50, 2)
    assert_close(traced(volume), narrow_network(volume), atol=1e-4, rtol=0)


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_torchscript_takes_any_depth(narrow_network: SAM3D, traced: torch.jit.ScriptModule, depth: int) -> None:
    volume = torch.rand(1, 1, 240, 50, depth)
    assert_close(traced(volume), narrow_network(volume), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(240, 51, 2), (224, 50, 3)])
def test_torchscript_refuses_another_plane_in_words(traced: torch.jit.ScriptModule, size: tuple[int, int, int]) -> None:
    got = " x ".join(str(length) for length in size)
    with pytest.raises(torch.jit.Error, match=f"volumes of 240 x 50 x any number of slices, got {got}; export it again"):
        traced(torch.rand(1, 1, *size))


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluating"])
def test_what_trains_on_embeddings_gives_what_the_network_gives(narrow_network: SAM3D, mode: bool) -> None:
    volume = torch.rand(1, 1, 40, 33, 3)
    embeddings = narrow_network.encoder(volume)
    logits = EmbeddingsToLogits(narrow_network, (40, 33)).train(mode)(embeddings)
    assert narrow_network.training == mode
    torch.testing.assert_close(logits, narrow_network(volume))
