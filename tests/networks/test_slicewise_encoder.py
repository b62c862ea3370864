"""What every slice encoder promises about slices, modalities, padding, memory, freezing, its digest and its export."""

import copy

import pytest
import torch
from narrow_encoders import NARROW_ENCODERS, NarrowEncoder
from torch import nn
from torch.testing import assert_close

from scripts.networks import SAM3D, EmbeddingsToLogits, ResidualDecoder

every_encoder = pytest.mark.parametrize("narrow", NARROW_ENCODERS.values(), ids=NARROW_ENCODERS)
PLANES = [(16, 16), (33, 50), (240, 112)]  # one token; no multiple of a patch; more than a window of attention


@every_encoder
@pytest.mark.parametrize("plane", PLANES)
def test_a_token_stands_for_16_x_16_pixels(narrow: NarrowEncoder, plane: tuple[int, int]) -> None:
    encoder = narrow()
    embeddings = encoder(torch.rand(2, 2, *plane, 3))
    assert embeddings.shape == (2, 2 * encoder.out_channels, -(-plane[0] // 16), -(-plane[1] // 16), 3)
    assert embeddings.dtype == torch.float32


@every_encoder
def test_slices_do_not_see_each_other(narrow: NarrowEncoder) -> None:
    encoder, volume = narrow(), torch.rand(2, 1, 64, 48, 6)
    assert_close(encoder(volume)[..., 2:5], encoder(volume[..., 2:5]), atol=1e-4, rtol=1e-5)


@every_encoder
def test_modalities_are_encoded_separately_and_concatenated_in_order(narrow: NarrowEncoder) -> None:
    encoder, (t1, t2) = narrow(), torch.rand(2, 2, 1, 64, 48, 3)
    expected = torch.cat([encoder(t1), encoder(t2)], 1)
    assert_close(encoder(torch.cat([t1, t2], 1)), expected, atol=1e-4, rtol=1e-5)


@every_encoder
def test_any_plane_is_padded_with_raw_zeros(narrow: NarrowEncoder) -> None:
    encoder, volume = narrow(), torch.rand(1, 1, 33, 50, 2)
    padded = torch.zeros(1, 1, 48, 64, 2)
    padded[:, :, :33, :50] = volume
    assert torch.equal(encoder(volume), encoder(padded))


@every_encoder
def test_the_memory_for_slices_sets_how_many_run_at_once_and_does_not_change_the_result(narrow: NarrowEncoder) -> None:
    encoder, volume = narrow(), torch.rand(2, 1, 64, 48, 5)
    expected, batches = encoder(volume), []
    first = next(module for module in encoder.modules() if isinstance(module, nn.LayerNorm))
    first.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    slice_gb = 12 * encoder.token_bytes / 1e9  # of 12 tokens
    for memory, expected_batches in [(1e-9, [1] * 10), (3.5 * slice_gb, [3, 3, 3, 1])]:
        encoder.memory = memory
        batches.clear()
        assert_close(encoder(volume), expected, atol=1e-4, rtol=1e-5)
        assert batches == expected_batches


@every_encoder
def test_a_frozen_encoder_stays_in_eval_and_out_of_the_graph(narrow: NarrowEncoder) -> None:
    encoder = narrow()
    nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(torch.rand(1, 1, 16, 16, 1, requires_grad=True)).requires_grad


@every_encoder
def test_a_trainable_encoder_trains_every_parameter(narrow: NarrowEncoder) -> None:
    encoder = narrow(trainable=True).train()
    assert all(module.training for module in encoder.modules())
    embeddings = encoder(torch.rand(1, 1, 240, 112, 1))
    gradients = torch.autograd.grad(embeddings, list(encoder.parameters()), torch.randn_like(embeddings), allow_unused=True)
    still = [
        name for (name, _), grad in zip(encoder.named_parameters(), gradients, strict=True) if grad is None or not grad.any()
    ]
    assert all(name.startswith(UNUSED) for name in still), still


# Of SAM 2's pyramid, whose finer levels are given on request: they are in the official files, and so in the encoder.
UNUSED = ("image_encoder.neck.convs.2.", "image_encoder.neck.convs.3.")


@every_encoder
def test_the_digest_is_that_of_weights_and_arrangement(narrow: NarrowEncoder) -> None:
    encoder = narrow()
    before = encoder.sha256()
    assert torch.equal(copy.deepcopy(encoder).sha256(), before)
    assert torch.equal(narrow(memory=1e-9, trainable=True).sha256(), before)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    next(reversed(state.values())).view(torch.int32).flatten()[-1:].bitwise_xor_(1)
    encoder.load_state_dict(state)
    assert not torch.equal(encoder.sha256(), before)


@every_encoder
def test_what_is_not_there_is_refused_in_words(narrow: NarrowEncoder) -> None:
    with pytest.raises(ValueError, match=r"variant must be .* or a mapping of dimensions, got 'none'"):
        narrow.build("none")
    with pytest.raises(ValueError, match="memory must be positive, in GB, got 0"):
        narrow(memory=0)


@every_encoder
def test_torchscript_equals_the_network(narrow: NarrowEncoder) -> None:
    encoder = narrow()
    network = SAM3D(encoder, ResidualDecoder(encoder.out_channels, 4, channels=(8, 8, 4, 4))).eval()
    traced = torch.jit.trace(network, torch.rand(1, 1, 240, 50, 2), check_trace=False)
    volume = torch.rand(1, 1, 240, 50, 2)
    assert_close(traced(volume), network(volume), atol=1e-4, rtol=0)


@every_encoder
def test_a_network_on_it_is_saved_without_it_and_decodes_its_embeddings(narrow: NarrowEncoder) -> None:
    encoder, volume = narrow(), torch.rand(1, 1, 40, 33, 3)
    network = SAM3D(encoder, ResidualDecoder(encoder.out_channels, 4, channels=(8, 8, 4, 4))).eval()
    state = network.state_dict()
    assert [name for name in state if not name.startswith("decoder.")] == ["encoder_sha256"]
    network.load_state_dict(state, strict=True)
    assert_close(EmbeddingsToLogits(network, (40, 33))(network.encode(volume)), network(volume))


@every_encoder
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_gives_what_single_precision_gives_about(narrow: NarrowEncoder, dtype: torch.dtype) -> None:
    encoder, volume = narrow(), torch.rand(1, 1, 240, 112, 1)
    expected = encoder(volume)
    with torch.autocast("cpu", dtype):
        embeddings = encoder(volume)
    assert (embeddings.float() - expected).norm() < 0.1 * expected.norm()
