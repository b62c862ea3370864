"""SAMSliceEncoder with SAM-Med2D's adapters and tables of 256 pixels, against segment_anything's blocks and a plain adapter."""

from typing import Any

import pytest
import torch
from conftest import NARROW
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
from scripts.networks.slicewise_encoder import PIXEL_MEAN, PIXEL_STD
from scripts.weights.sam_checkpoint import fill_at_random


def med2d_encoder(adapters: bool = True, **options: Any) -> SAMSliceEncoder:
    encoder = SAMSliceEncoder(NARROW, image_size=256, adapters=adapters, **options)
    fill_at_random(encoder, seed=0, std=0.2)
    return encoder


def plain_adapter(adapter: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(1, h, w, C), as the released code has it; an odd grid is padded with zeros."""
    tensors = dict(adapter.named_parameters())
    height, width = x.shape[1:3]
    attention = F.relu(x.mean((1, 2)) @ tensors["channel.0.weight"].T) @ tensors["channel.2.weight"].T
    x = x.permute(0, 3, 1, 2)
    weighed = F.pad(x * attention.sigmoid()[:, :, None, None], (0, width % 2, 0, height % 2))
    low = F.relu(F.conv2d(weighed, tensors["spatial.0.weight"], stride=2, padding=1))
    assert low.shape[2:] == (weighed.shape[2] // 2, weighed.shape[3] // 2)
    high = F.relu(F.conv_transpose2d(low, tensors["spatial.2.weight"], stride=2, padding=1))
    x = (x + high[..., :height, :width]).permute(0, 2, 3, 1)
    return F.layer_norm(x, x.shape[-1:], tensors["norm.weight"], tensors["norm.bias"], 1e-5)


def plain_embedding(encoder: SAMSliceEncoder, plane: torch.Tensor) -> torch.Tensor:
    """(H, W) -> (1, 256, h, w) by segment_anything's own modules; after each block's MLP the adapter of what the MLP saw."""
    height, width = plane.shape
    h, w = -(-height // 16), -(-width // 16)
    image = plane.new_zeros(1, 3, 16 * h, 16 * w)
    image[..., :height, :width] = 255 * plane
    image = (image - image.new_tensor(PIXEL_MEAN).view(3, 1, 1)) / image.new_tensor(PIXEL_STD).view(3, 1, 1)
    sam = encoder.image_encoder
    table = F.interpolate(sam.pos_embed.permute(0, 3, 1, 2), (h, w), mode="bicubic").permute(0, 2, 3, 1)
    x = sam.patch_embed(image) + (sam.pos_embed if (h, w) == (16, 16) else table)
    for block in sam.blocks:
        seen: list[torch.Tensor] = []
        handle = block.norm2.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output))
        x = block(x)
        handle.remove()
        x = x + plain_adapter(block.Adapter, seen[0]) if encoder.adapters else x
    return sam.neck(x.permute(0, 3, 1, 2))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.double, 1e-10)])
@pytest.mark.parametrize("plane", [(256, 256), (240, 100), (33, 5), (96, 448)])
@pytest.mark.parametrize("adapters", [True, False])
def test_equals_sam_med2d(adapters: bool, plane: tuple[int, int], dtype: torch.dtype, tolerance: float) -> None:
    encoder, volume = med2d_encoder(adapters).to(dtype), torch.rand(1, 1, *plane, 2, dtype=dtype)
    embeddings = encoder(volume)
    for index in range(2):
        assert_close(embeddings[..., index], plain_embedding(encoder, volume[0, 0, ..., index]), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        "pos_embed",
        "blocks.1.attn.rel_pos_h",
        "blocks.0.Adapter.channel.0.weight",
        "blocks.1.Adapter.channel.2.weight",
        "blocks.0.Adapter.spatial.0.weight",
        "blocks.2.Adapter.spatial.2.weight",
        "blocks.2.Adapter.norm.bias",
    ],
)
def test_every_table_matters(name: str) -> None:
    """Else the comparison would be blind to a mistake in it."""
    encoder, volume = med2d_encoder(), torch.rand(1, 1, 256, 240, 1)
    before = encoder(volume)
    with torch.no_grad():
        encoder.image_encoder.get_parameter(name).zero_()
    assert (encoder(volume) - before).abs().max() > 0.01  # a hundred times what may differ


def test_parameters_have_their_official_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {
            key.removeprefix("image_encoder."): tuple(value.shape)
            for key, value in SAMSliceEncoder("vit_b", image_size=256, adapters=True).state_dict().items()
        }
    assert shapes["pos_embed"] == (1, 16, 16, 768)
    assert shapes["blocks.0.attn.rel_pos_h"] == (27, 64)
    assert shapes["blocks.2.attn.rel_pos_h"] == (31, 64)  # a global block
    assert {key: shape for key, shape in shapes.items() if key.startswith("blocks.11.Adapter.")} == {
        "blocks.11.Adapter.norm.weight": (768,),
        "blocks.11.Adapter.norm.bias": (768,),
        "blocks.11.Adapter.channel.0.weight": (192, 768),
        "blocks.11.Adapter.channel.2.weight": (768, 192),
        "blocks.11.Adapter.spatial.0.weight": (768, 768, 3, 3),
        "blocks.11.Adapter.spatial.2.weight": (768, 768, 4, 4),
    }
    plain = {key for key in shapes if ".Adapter." not in key}
    with torch.device("meta"):
        assert {f"image_encoder.{key}" for key in plain} == SAMSliceEncoder("vit_b").state_dict().keys()


def test_blocks_and_adapters_go_together() -> None:
    """The outputs of blocks are those after their adapters."""
    encoder, volume = med2d_encoder(blocks=[0, 2]), torch.rand(1, 1, 64, 48, 2)
    neck, _, last = encoder(volume).split(encoder.channels, 1)
    assert_close(neck, med2d_encoder()(volume), atol=1e-5, rtol=0)
    from_last = encoder.image_encoder.neck(last[..., 1])
    assert_close(neck[..., 1], from_last, atol=1e-5, rtol=0)


def test_every_parameter_is_trained() -> None:
    encoder = med2d_encoder(trainable=True)
    encoder(torch.rand(1, 1, 240, 48, 1)).square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def test_torchscript_equals_the_network() -> None:
    network = SAM3D(med2d_encoder(), ResidualDecoder(256, 4, channels=(16, 8, 8, 4))).eval()
    traced = torch.jit.trace(network, torch.rand(1, 1, 120, 50, 2), check_trace=False)
    volume = torch.rand(1, 1, 120, 50, 2)
    assert_close(traced(volume), network(volume), atol=1e-4, rtol=0)


@pytest.mark.parametrize("image_size", [0, -16, 250])
def test_an_image_size_of_no_whole_patches_is_refused_in_words(image_size: int) -> None:
    with pytest.raises(ValueError, match=rf"image_size must be a multiple of 16 px, a patch's side, got {image_size}"):
        SAMSliceEncoder(NARROW, image_size=image_size)
