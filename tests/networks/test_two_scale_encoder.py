"""TwoScaleEncoder: what stands in its channels, for every encoder."""

import pytest
import torch
from narrow_encoders import NARROW_ENCODERS, NarrowEncoder
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import SAM3D, EmbeddingsToLogits, ResidualDecoder, TwoScaleEncoder

every_encoder = pytest.mark.parametrize("narrow", NARROW_ENCODERS.values(), ids=NARROW_ENCODERS)


@every_encoder
@pytest.mark.parametrize("scale", [2, 0.5])
@pytest.mark.parametrize("plane", [(64, 32), (40, 50)])
def test_channels_are_the_slices_own_and_then_those_of_the_scaled_slice(
    narrow: NarrowEncoder, scale: float, plane: tuple[int, int]
) -> None:
    """By the encoder itself on each slice of each modality, scaled one by one."""
    encoder, volume = narrow(), torch.rand(1, 2, *plane, 3)
    both = TwoScaleEncoder(encoder, scale)
    h, w = (-(-length // 16) for length in plane)
    embeddings = both(volume).unflatten(1, (2, 2, encoder.out_channels))  # (1, M, scale, C, h, w, D)
    assert embeddings.shape[-3:] == (h, w, 3)
    for modality in range(2):
        for depth in range(3):
            image = volume[:, modality, :, :, depth]
            own = encoder(image[:, None, :, :, None])[..., 0]
            assert_close(embeddings[:, modality, 0, :, :, :, depth], own, atol=1e-4, rtol=1e-5)
            whole = torch.zeros(1, 1, 16 * h, 16 * w)
            whole[0, 0, : plane[0], : plane[1]] = image
            scaled = F.interpolate(whole, scale_factor=scale, mode="bilinear", antialias=True)
            second = encoder(scaled[..., None])[..., 0]
            if scale == 2:
                second = F.avg_pool2d(second, 2)
            else:
                second = F.interpolate(second, scale_factor=2, mode="bilinear")[:, :, :h, :w]
            assert_close(embeddings[:, modality, 1, :, :, :, depth], second, atol=1e-4, rtol=1e-5)


def test_a_network_on_it_is_saved_without_it_traced_and_used_on_embeddings() -> None:
    encoder, volume = TwoScaleEncoder(NARROW_ENCODERS["sam"](), 2), torch.rand(1, 1, 40, 33, 3)
    network = SAM3D(encoder, ResidualDecoder(encoder.out_channels, 4, channels=(8, 8, 4, 4))).eval()
    assert [name for name in network.state_dict() if not name.startswith("decoder.")] == ["encoder_sha256"]
    network.load_state_dict(network.state_dict(), strict=True)
    assert_close(EmbeddingsToLogits(network, (40, 33))(network.encode(volume)), network(volume))
    traced = torch.jit.trace(network, volume, check_trace=False)
    assert_close(traced(volume), network(volume), atol=1e-4, rtol=0)


def test_it_trains_as_its_encoder_does_and_has_a_digest_of_its_own() -> None:
    narrow = NARROW_ENCODERS["sam"]
    frozen, trained = TwoScaleEncoder(narrow(), 2).train(), TwoScaleEncoder(narrow(trainable=True), 2).train()
    volume = torch.rand(1, 1, 32, 32, 1)
    assert (bool(frozen.trained), bool(trained.trained)) == (False, True)
    assert not any(module.training for module in frozen.encoder.modules())
    assert not frozen(volume).requires_grad and trained(volume).requires_grad
    digests = [frozen.sha256(), TwoScaleEncoder(narrow(), 0.5).sha256(), narrow().sha256()]
    assert len({bytes(digest.tolist()) for digest in digests}) == 3


def test_what_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"scale must be 2 or 0\.5, got 3"):
        TwoScaleEncoder(NARROW_ENCODERS["sam"](), 3)
    with pytest.raises(ValueError, match="an encoder with finer levels cannot be read at two scales"):
        TwoScaleEncoder(NARROW_ENCODERS["sam2"](levels=[8]), 2)
