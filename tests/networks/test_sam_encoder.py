"""SAMSliceEncoder against segment_anything's own ImageEncoderViT, and what it promises about slices, batches and freezing."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from conftest import NARROW
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook
from torch.testing import assert_close

from scripts.networks import SAMSliceEncoder, sam_encoder
from scripts.networks.sam_encoder import VARIANTS
from scripts.networks.segment_anything import ImageEncoderViT, modeling
from scripts.weights.sam_checkpoint import fill_at_random

# (H, W): the attention windows are 14 tokens, 224 pixels, on a side.
PLANES = [
    (16, 16),  # one token
    (96, 96),  # within one window
    (224, 224),  # exactly one window
    (240, 100),  # two rows of windows, the second of one token; columns padded
    (448, 208),  # full rows, padded columns only
    (208, 448),  # full columns, padded rows only
    (256, 300),  # a full window, a right edge, a bottom edge and a corner
    (480, 690),  # several full windows beside the edges and the corner
    (33, 5),  # no multiple of the patch
    (1024, 1024),  # SAM's own size, where no table is resampled
]
TOLERANCES = [(torch.float32, 1e-4), (torch.double, 1e-10)]  # the promise, and rounding alone
POSITION_TABLES = [
    "image_encoder.pos_embed",
    "image_encoder.blocks.0.attn.rel_pos_h",  # of a windowed block
    "image_encoder.blocks.0.attn.rel_pos_w",
    "image_encoder.blocks.1.attn.rel_pos_h",  # of a global block
    "image_encoder.blocks.1.attn.rel_pos_w",
    "image_encoder.blocks.0.attn.qkv.bias",  # the key and value of the windows' padding
]


def published_encoder(dimensions: dict[str, Any]) -> nn.Module:
    """As segment_anything/build_sam.py builds it, without memory: its parameters are to be handed in."""
    with torch.device("meta"):
        return ImageEncoderViT(
            **dimensions,
            img_size=1024,
            patch_size=16,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            window_size=14,
            out_chans=256,
        )


SAM_PIXELS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def sam_embeddings(
    encoder: SAMSliceEncoder,
    dimensions: dict[str, Any],
    volume: torch.Tensor,
    pixels: tuple[tuple[float, ...], tuple[float, ...]] = SAM_PIXELS,
) -> torch.Tensor:
    """(1, 1, H, W, D) -> (1, 256, h, w, D) by segment_anything's own forward with the encoder's parameters, slice by slice.

    Sam.preprocess on the slice as a grey RGB image; `pos_embed` is resampled bicubically, since SAM runs at 1024 x 1024 only.
    """
    height, width, depth = volume.shape[2:]
    h, w = (height + 15) // 16, (width + 15) // 16
    parameters = dict(encoder.image_encoder.named_parameters())
    table = parameters["pos_embed"].permute(0, 3, 1, 2)
    parameters["pos_embed"] = F.interpolate(table, (h, w), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    embeddings = []
    for index in range(depth):
        image = volume.new_zeros(1, 3, 16 * h, 16 * w)
        image[..., :height, :width] = 255 * volume[..., index]
        image = image - image.new_tensor(pixels[0]).view(3, 1, 1)
        image = image / image.new_tensor(pixels[1]).view(3, 1, 1)
        embeddings.append(functional_call(published_encoder(dimensions), parameters, image, strict=True))
    return torch.stack(embeddings, -1)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("plane", PLANES)
def test_equals_sam(narrow_encoder: SAMSliceEncoder, plane: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    encoder, volume = narrow_encoder.to(dtype), torch.rand(1, 1, *plane, 1, dtype=dtype)
    assert_close(encoder(volume), sam_embeddings(encoder, NARROW, volume), atol=tolerance, rtol=0)


@pytest.mark.parametrize("pixels", [((0, 0, 0), (255, 255, 255)), ((100, 50, 25), (10, 20, 40))])
def test_pixels_are_normalised_as_said(pixels: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    """MedSAM's, (0, 255): its encoder sees the volume's numbers in [0, 1] themselves."""
    encoder, sam = SAMSliceEncoder(NARROW, pixel_mean=pixels[0], pixel_std=pixels[1]), SAMSliceEncoder(NARROW)
    for network in (encoder, sam):
        fill_at_random(network, seed=0, std=0.2)
    volume = torch.rand(1, 1, 40, 52, 2)
    assert_close(encoder(volume), sam_embeddings(encoder, NARROW, volume, pixels), atol=1e-4, rtol=0)
    assert not torch.allclose(encoder(volume), sam(volume), atol=1e-2)
    assert not torch.equal(encoder.sha256(), sam.sha256())
    encoder.pixel_mean, encoder.pixel_std = sam.pixel_mean, sam.pixel_std
    encoder._sha256 = None
    assert torch.equal(encoder.sha256(), sam.sha256())  # what was trained before still fits


@pytest.mark.parametrize(("mean", "std"), [((0, 0), (1, 1, 1)), ((0, 0, 0), (1, 0, 1)), ((0, 0, 0), (1,))])
def test_pixels_that_cannot_be_are_refused_in_words(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three numbers each"):
        SAMSliceEncoder(NARROW, pixel_mean=mean, pixel_std=std)


@pytest.mark.parametrize(
    ("size", "dtype", "std", "tolerance"),
    [
        (112, torch.float32, 0.1, 1e-4),
        (112, torch.double, 0.1, 1e-10),
        # At 1024 and std 0.1 single precision alone separates either code by 0.8e-4 from its own double precision.
        pytest.param(1024, torch.float32, 0.05, 1e-4, marks=pytest.mark.slow),
        pytest.param(1024, torch.double, 0.1, 1e-10, marks=pytest.mark.slow),
    ],
)
def test_vit_b_equals_sam(size: int, dtype: torch.dtype, std: float, tolerance: float) -> None:
    encoder = SAMSliceEncoder("vit_b")
    fill_at_random(encoder, seed=0, std=std)
    encoder, volume = encoder.to(dtype), torch.rand(1, 1, size, size, 1, dtype=dtype)
    with torch.no_grad():
        assert_close(encoder(volume), sam_embeddings(encoder, VARIANTS["vit_b"], volume), atol=tolerance, rtol=0)


@pytest.mark.parametrize("table", POSITION_TABLES)
def test_every_position_table_matters(narrow_encoder: SAMSliceEncoder, table: str) -> None:
    """Else the comparisons with SAM would be blind to a mistake in it."""
    volume = torch.rand(1, 1, 240, 272, 1)
    before = narrow_encoder(volume)
    with torch.no_grad():
        narrow_encoder.get_parameter(table).zero_()
    assert (narrow_encoder(volume) - before).abs().max() > 0.1


@pytest.mark.parametrize("plane", [(240, 272), (240, 224), (224, 240)])
def test_gradients_equal_those_of_sam(plane: tuple[int, int]) -> None:
    encoder = SAMSliceEncoder(NARROW, trainable=True).double()
    fill_at_random(encoder, seed=0, std=0.2)
    volume = torch.rand(1, 1, *plane, 1, dtype=torch.double)
    embeddings, expected = encoder(volume), sam_embeddings(encoder, NARROW, volume)
    direction = torch.randn_like(embeddings)
    parameters = list(encoder.parameters())
    gradients = torch.autograd.grad(embeddings, parameters, direction)
    for gradient, reference in zip(gradients, torch.autograd.grad(expected, parameters, direction), strict=True):
        assert_close(gradient, reference, atol=1e-9, rtol=1e-9)


def test_any_plane_is_padded_with_raw_zeros(narrow_encoder: SAMSliceEncoder) -> None:
    volume = torch.rand(1, 1, 33, 50, 2)
    padded = torch.zeros(1, 1, 48, 64, 2)
    padded[:, :, :33, :50] = volume
    assert torch.equal(narrow_encoder(volume), narrow_encoder(padded))


def test_slices_do_not_see_each_other(narrow_encoder: SAMSliceEncoder) -> None:
    volume = torch.rand(2, 1, 64, 48, 6)
    assert_close(narrow_encoder(volume)[..., 2:5], narrow_encoder(volume[..., 2:5]), atol=1e-5, rtol=0)


def test_the_memory_for_slices_sets_how_many_run_at_once_and_does_not_change_the_result(
    narrow_encoder: SAMSliceEncoder,
) -> None:
    volume = torch.rand(2, 1, 64, 48, 5)
    expected = narrow_encoder(volume)
    batches: list[int] = []
    narrow_encoder.image_encoder.blocks[0].norm1.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    slice_gb = 12 * 4 * 12 * 32 / 1e9  # 12 tokens of 12 x 32 fp32 numbers
    for memory, expected_batches in [(1e-9, [1] * 10), (3.5 * slice_gb, [3, 3, 3, 1]), (None, [10])]:
        narrow_encoder.memory = memory
        batches.clear()
        assert_close(narrow_encoder(volume), expected, atol=1e-5, rtol=0)
        assert batches == expected_batches


@pytest.mark.parametrize("bias_bytes", [1, 5 * 4 * 2 * 14 * 197 * 4])
def test_blocks_of_attention_rows_do_not_change_the_result(
    narrow_encoder: SAMSliceEncoder, monkeypatch: pytest.MonkeyPatch, bias_bytes: int
) -> None:
    volume = torch.rand(1, 1, 16 * 17, 16 * 15, 2)  # windows of every shape, and a global block
    expected = narrow_encoder(volume)
    monkeypatch.setitem(sam_encoder.BIAS_BYTES, "cpu", bias_bytes)
    assert_close(narrow_encoder(volume), expected, atol=1e-5, rtol=0)


def test_modalities_are_encoded_separately_and_concatenated_in_order(narrow_encoder: SAMSliceEncoder) -> None:
    t1, t2 = torch.rand(2, 2, 1, 64, 48, 3)
    expected = torch.cat([narrow_encoder(t1), narrow_encoder(t2)], 1)
    assert_close(narrow_encoder(torch.cat([t1, t2], 1)), expected, atol=1e-5, rtol=0)


def test_chosen_blocks_follow_the_neck_of_their_modality(narrow_encoder: SAMSliceEncoder) -> None:
    """The outputs of segment_anything's own blocks, on two modalities."""
    encoder, volume = SAMSliceEncoder(NARROW, memory=1e-9, blocks=[0, 2]), torch.rand(2, 2, 240, 100, 3)
    encoder.load_state_dict(narrow_encoder.state_dict())
    assert encoder.channels == [256, 32, 32]
    assert encoder.out_channels == 320
    embeddings = encoder(volume).unflatten(1, (2, 320))  # (B, M, 256 + 2 * 32, h, w, D)
    neck, *blocks = embeddings.split(encoder.channels, 2)
    assert_close(neck.flatten(1, 2), narrow_encoder(volume), atol=1e-5, rtol=0)
    for sample, modality, depth in [(0, 0, 0), (1, 0, 2), (0, 1, 1)]:
        expected = sam_block_outputs(narrow_encoder, volume[sample, modality, ..., depth])
        for block, index in zip(blocks, (0, 2), strict=True):
            assert_close(block[sample, modality, ..., depth], expected[index], atol=1e-4, rtol=0)


def sam_block_outputs(encoder: SAMSliceEncoder, image: torch.Tensor) -> list[torch.Tensor]:
    """(H, W) -> of every block (C, h, w), recorded while `sam_embeddings` runs."""
    outputs: list[torch.Tensor] = []

    def record(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        if isinstance(module, modeling.image_encoder.Block):
            outputs.append(output[0].permute(2, 0, 1))

    handle = register_module_forward_hook(record)
    sam_embeddings(encoder, NARROW, image[None, None, ..., None])
    handle.remove()
    return outputs


def test_a_choice_of_blocks_changes_the_digest_but_no_parameters(narrow_encoder: SAMSliceEncoder) -> None:
    """So neither a cache nor a checkpoint made with other blocks is used."""
    digests = {bytes(narrow_encoder.sha256().tolist())}
    for blocks in ([0], [1], [0, 1]):
        encoder = SAMSliceEncoder(NARROW, blocks=blocks)
        encoder.load_state_dict(narrow_encoder.state_dict())
        digests.add(bytes(encoder.sha256().tolist()))
    assert len(digests) == 4


@pytest.mark.parametrize("blocks", [[3], [-1], [1, 0], [1, 1]])
def test_blocks_that_are_not_there_or_not_rising_are_refused_in_words(blocks: list[int]) -> None:
    with pytest.raises(ValueError, match="blocks must be rising indices below 3, the ViT's depth, got"):
        SAMSliceEncoder(NARROW, blocks=blocks)


def test_a_frozen_encoder_stays_in_eval_and_out_of_the_graph(narrow_encoder: SAMSliceEncoder) -> None:
    nn.Sequential(narrow_encoder).train()
    assert not any(module.training for module in narrow_encoder.modules())
    assert not any(parameter.requires_grad for parameter in narrow_encoder.parameters())
    assert not narrow_encoder(torch.rand(1, 1, 16, 16, 1, requires_grad=True)).requires_grad


def test_a_trainable_encoder_follows_train_and_eval() -> None:
    encoder = SAMSliceEncoder(NARROW, trainable=True)
    assert all(module.training for module in encoder.train().modules())
    assert not any(module.training for module in encoder.eval().modules())


@pytest.mark.parametrize(("variant", "parameters"), [("vit_b", 89_670_912), ("vit_l", 308_278_272), ("vit_h", 637_026_048)])
def test_published_variants_have_the_published_size(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        encoder = SAMSliceEncoder(variant)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    assert encoder.out_channels == 256


def test_parameters_have_their_official_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in SAMSliceEncoder("vit_b").state_dict().items()}
    published = published_encoder(VARIANTS["vit_b"]).state_dict()
    assert shapes == {f"image_encoder.{key}": tuple(value.shape) for key, value in published.items()}
    assert shapes["image_encoder.pos_embed"] == (1, 64, 64, 768)
    assert shapes["image_encoder.blocks.0.attn.rel_pos_h"] == (27, 64)
    assert shapes["image_encoder.blocks.11.attn.rel_pos_h"] == (127, 64)  # a global block


def test_an_unknown_variant_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"variant must be one of vit_b, vit_l, vit_h.*'vit_x'"):
        SAMSliceEncoder("vit_x")


def test_no_memory_for_slices_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="memory must be positive, in GB, got 0"):
        SAMSliceEncoder(NARROW, memory=0)


def test_the_digest_is_the_same_in_a_copy(narrow_encoder: SAMSliceEncoder) -> None:
    trainable = SAMSliceEncoder(NARROW, memory=1e-9, trainable=True)
    trainable.load_state_dict(narrow_encoder.state_dict())
    assert torch.equal(trainable.sha256(), narrow_encoder.sha256())
    assert torch.equal(copy.deepcopy(narrow_encoder).sha256(), narrow_encoder.sha256())


@pytest.mark.parametrize("name", ["image_encoder.pos_embed", "image_encoder.neck.3.bias"])
def test_the_digest_changes_with_one_bit(narrow_encoder: SAMSliceEncoder, name: str) -> None:
    before = narrow_encoder.sha256()
    state = {key: value.clone() for key, value in narrow_encoder.state_dict().items()}
    state[name].view(torch.int32).flatten()[-1:].bitwise_xor_(1)
    narrow_encoder.load_state_dict(state)
    assert not torch.equal(narrow_encoder.sha256(), before)


def test_the_digest_follows_weights_filled_at_random(narrow_encoder: SAMSliceEncoder) -> None:
    before = narrow_encoder.sha256()
    fill_at_random(narrow_encoder, seed=1)
    assert not torch.equal(narrow_encoder.sha256(), before)
