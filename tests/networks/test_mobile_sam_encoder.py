"""MobileSAMSliceEncoder against MobileSAM's own code and a plain statement of TinyViT, and what it promises about slices."""

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from conftest import NARROW_TINY_VIT
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import SAM3D, MobileSAMSliceEncoder, ResidualDecoder
from scripts.networks.slicewise_encoder import PIXEL_MEAN, PIXEL_STD
from scripts.weights.sam_checkpoint import fill_at_random

Tensors = dict[str, torch.Tensor]

# (H, W): windows are 7 tokens at 1/8 and 14 and 7 at 1/16, so 56, 224 and 112 pixels on a side.
PLANES = [
    (16, 16),  # one token at 1/16, four at 1/8
    (56, 112),  # whole windows at 1/8
    (224, 112),  # whole windows of the last stage
    (240, 176),  # full windows, right and bottom edges and a corner, at every stage
    (33, 5),  # no multiple of the patch
]


def images_of(volume: torch.Tensor, index: int = 0) -> torch.Tensor:
    """(1, 1, H, W, D) -> (1, 3, 16 h, 16 w): SAM's pixels of a slice, padded with raw zeros."""
    height, width = volume.shape[2:4]
    image = volume.new_zeros(1, 3, -(-height // 16) * 16, -(-width // 16) * 16)
    image[..., :height, :width] = 255 * volume[0, :, :, :, index]
    return (image - image.new_tensor(PIXEL_MEAN).view(3, 1, 1)) / image.new_tensor(PIXEL_STD).view(3, 1, 1)


def conv_norm(tensors: Tensors, name: str, x: torch.Tensor, **options: Any) -> torch.Tensor:
    kernel = tensors[f"{name}.c.weight"]
    groups = 1 if kernel.shape[1] > 1 or len(kernel) == 1 else len(kernel)
    x = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=groups, **options)
    statistics = (tensors[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *statistics, training=False, eps=1e-5)


def layer_norm(tensors: Tensors, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps)


def linear(tensors: Tensors, name: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def attend_one_window(tensors: Tensors, name: str, tokens: torch.Tensor, heads: int, window: int) -> torch.Tensor:
    """(window^2, C), padding included. The biases are counted as MobileSAM counts them: by the distance's first occurrence."""
    points = list(itertools.product(range(window), range(window)))
    numbers: dict[tuple[int, int], int] = {}
    index = [[numbers.setdefault((abs(a - c), abs(b - d)), len(numbers)) for c, d in points] for a, b in points]
    biases = tensors[f"{name}.attention_biases"][:, torch.tensor(index)]
    channels = tokens.shape[1]
    qkv = linear(tensors, f"{name}.qkv", layer_norm(tensors, f"{name}.norm", tokens, 1e-5))
    outputs = []
    for head, part in enumerate(qkv.split(3 * channels // heads, 1)):  # the parts of a head lie together
        q, k, v = part.split(channels // heads, 1)
        outputs.append((q @ k.T * (channels // heads) ** -0.5 + biases[head]).softmax(-1) @ v)
    return linear(tensors, f"{name}.proj", torch.cat(outputs, 1))


def attention(tensors: Tensors, name: str, grid: torch.Tensor, heads: int, window: int) -> torch.Tensor:
    """(h, w, C), one window after the other on a grid that is padded with zeros."""
    height, width, channels = grid.shape
    result = torch.zeros_like(F.pad(grid, (0, 0, 0, -width % window, 0, -height % window)))
    result[:height, :width] = grid
    for top, left in itertools.product(range(0, len(result), window), range(0, result.shape[1], window)):
        part = result[top : top + window, left : left + window]
        attended = attend_one_window(tensors, name, part.reshape(-1, channels), heads, window)
        part[:] = attended.view(window, window, channels)
    return result[:height, :width]


def plain_tiny_vit(tensors: Tensors, dimensions: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    """(1, 3, 16 h, 16 w) -> (1, 256, h, w), step by step as the two papers and MobileSAM's file have it."""
    x = conv_norm(tensors, "patch_embed.seq.0", x, stride=2)
    x = conv_norm(tensors, "patch_embed.seq.2", F.gelu(x), stride=2)
    stages = zip(dimensions["depths"], dimensions["num_heads"], dimensions["window_sizes"], strict=True)
    for stage, (depth, heads, window) in enumerate(stages):
        for block in range(depth):
            name = f"layers.{stage}.blocks.{block}"
            if stage == 0:
                inner = F.gelu(conv_norm(tensors, f"{name}.conv1", x))
                inner = F.gelu(conv_norm(tensors, f"{name}.conv2", inner))
                x = F.gelu(x + conv_norm(tensors, f"{name}.conv3", inner))
                continue
            attended = attention(tensors, f"{name}.attn", x[0].permute(1, 2, 0).clone(), heads, window)
            x = conv_norm(tensors, f"{name}.local_conv", x + attended.permute(2, 0, 1))
            inner = layer_norm(tensors, f"{name}.mlp.norm", x.permute(0, 2, 3, 1), 1e-5)
            inner = linear(tensors, f"{name}.mlp.fc2", F.gelu(linear(tensors, f"{name}.mlp.fc1", inner)))
            x = x + inner.permute(0, 3, 1, 2)
        if stage < 3:
            name = f"layers.{stage}.downsample"
            x = F.gelu(conv_norm(tensors, f"{name}.conv1", x))
            x = F.gelu(conv_norm(tensors, f"{name}.conv2", x, stride=2 if stage < 2 else 1))
            x = conv_norm(tensors, f"{name}.conv3", x)
    for convolution, norm in (("neck.0", "neck.1"), ("neck.2", "neck.3")):
        kernel = tensors[f"{convolution}.weight"]
        x = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
        x = layer_norm(tensors, norm, x.permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2)
    return x


def tensors_of(encoder: MobileSAMSliceEncoder) -> Tensors:
    return encoder.image_encoder.state_dict()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.double, 1e-10)])
@pytest.mark.parametrize("plane", PLANES)
def test_equals_tiny_vit(
    narrow_mobile_encoder: MobileSAMSliceEncoder, plane: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    encoder, volume = narrow_mobile_encoder.to(dtype), torch.rand(1, 1, *plane, 1, dtype=dtype)
    expected = plain_tiny_vit(tensors_of(encoder), NARROW_TINY_VIT, images_of(volume))
    assert_close(encoder(volume)[..., 0], expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        "layers.1.blocks.0.attn.attention_biases",
        "layers.2.blocks.0.attn.attention_biases",
        "layers.2.blocks.0.attn.norm.bias",  # the key and the value of the windows' padding
        "patch_embed.seq.0.bn.running_mean",
        "layers.3.blocks.0.local_conv.bn.running_var",
    ],
)
def test_every_table_matters(narrow_mobile_encoder: MobileSAMSliceEncoder, name: str) -> None:
    """Else the comparison would be blind to a mistake in it."""
    volume = torch.rand(1, 1, 240, 176, 1)
    before = narrow_mobile_encoder(volume)
    with torch.no_grad():
        tensors_of(narrow_mobile_encoder)[name].mul_(2)
    assert (narrow_mobile_encoder(volume) - before).abs().max() > 0.1


@pytest.fixture
def mobile_sam(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """MobileSAM's own module of its encoder, without the package's other parts, which need torchvision."""
    package = importlib.util.find_spec("mobile_sam")
    if package is None or package.origin is None:
        pytest.skip("MobileSAM's code is not installed: pip install --no-deps mobilesam-mirror==1.0.0, licensed Apache-2.0")
    layers, registry = ModuleType("timm.models.layers"), ModuleType("timm.models.registry")  # it takes four things of timm
    vars(layers).update(DropPath=nn.Identity, to_2tuple=lambda x: (x, x), trunc_normal_=nn.init.trunc_normal_)
    vars(registry).update(register_model=lambda build: build)
    for module in (ModuleType("timm"), ModuleType("timm.models"), layers, registry):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    path = Path(package.origin).parent / "modeling" / "tiny_vit_sam.py"
    spec = importlib.util.spec_from_file_location("tiny_vit_sam", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [128, 240, pytest.param(1024, marks=pytest.mark.slow)])
def test_equals_mobile_sam(mobile_sam: ModuleType, size: int) -> None:
    """At other sizes than 1024 its last reshaping, to 64 x 64, is replaced: nothing else there depends on the size."""
    dimensions = {"embed_dims": [64, 128, 160, 320], "depths": [2, 2, 6, 2], "num_heads": [2, 4, 5, 10]}
    own = mobile_sam.TinyViT(img_size=size, **dimensions, window_sizes=[7, 7, 14, 7], drop_path_rate=0.0)
    encoder = MobileSAMSliceEncoder("vit_t")
    fill_at_random(encoder, seed=0, std=0.1)
    missing, surplus = own.load_state_dict(tensors_of(encoder), strict=False)
    assert {name.split(".")[0] for name in missing} == {"norm_head", "head"}
    assert surplus == []
    own.train().eval()  # where it looks its biases up
    volume = torch.rand(1, 1, size, size, 1)
    with torch.no_grad():
        features = own.patch_embed(images_of(volume))
        for layer in own.layers:
            features = layer(features)
        expected = own.neck(features.transpose(1, 2).unflatten(2, (size // 16, size // 16)))
        assert_close(encoder(volume)[..., 0], expected, atol=1e-4, rtol=0)
        if size == 1024:
            assert_close(own(images_of(volume)), expected, atol=0, rtol=0)


def test_the_published_variant_has_the_size_of_the_published_file() -> None:
    """40,728,226 bytes: the encoder, its unused classifier, SAM's prompt encoder and mask decoder, and a zip file's frame."""
    with torch.device("meta"):
        encoder = MobileSAMSliceEncoder()
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 5_743_892
    numbers = sum(value.numel() * value.element_size() for value in encoder.state_dict().values())
    classifier, others = 4 * (2 * 320 + 320 * 1000 + 1000), 4 * 4_064_560  # as segment_anything counts the last two
    wrapping = 40_728_226 - numbers - classifier - others
    assert 0 < wrapping / 439 < 512  # for each of its tensors


def test_parameters_have_their_official_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in MobileSAMSliceEncoder().state_dict().items()}
    assert {key: shapes[f"image_encoder.{key}"] for key in OFFICIAL} == OFFICIAL


OFFICIAL = {
    "patch_embed.seq.0.c.weight": (32, 3, 3, 3),
    "patch_embed.seq.2.bn.num_batches_tracked": (),
    "layers.0.blocks.0.conv1.c.weight": (256, 64, 1, 1),
    "layers.0.blocks.1.conv2.c.weight": (256, 1, 3, 3),
    "layers.0.downsample.conv2.bn.running_var": (128,),
    "layers.1.blocks.1.attn.attention_biases": (4, 49),
    "layers.2.blocks.5.attn.attention_biases": (5, 196),
    "layers.2.downsample.conv3.c.weight": (320, 320, 1, 1),
    "layers.3.blocks.1.attn.qkv.weight": (960, 320),
    "layers.3.blocks.0.local_conv.c.weight": (320, 1, 3, 3),
    "layers.3.blocks.1.mlp.fc1.weight": (1280, 320),
    "neck.0.weight": (256, 320, 1, 1),
    "neck.3.bias": (256,),
}


def test_slices_and_modalities_do_not_see_each_other_whatever_the_memory(narrow_mobile_encoder: MobileSAMSliceEncoder) -> None:
    volume = torch.rand(2, 2, 64, 48, 4)
    whole = narrow_mobile_encoder(volume)
    assert whole.shape == (2, 512, 4, 3, 4)
    assert_close(narrow_mobile_encoder(volume[:1, 1:, ..., 2:3]), whole[:1, 256:, ..., 2:3], atol=1e-5, rtol=0)
    narrow_mobile_encoder.memory = 1e-9  # a slice at a time
    assert_close(narrow_mobile_encoder(volume), whole, atol=1e-5, rtol=0)


def test_a_frozen_encoder_stays_in_eval_and_out_of_the_graph(narrow_mobile_encoder: MobileSAMSliceEncoder) -> None:
    nn.Sequential(narrow_mobile_encoder).train()
    assert not any(module.training for module in narrow_mobile_encoder.modules())
    assert not narrow_mobile_encoder(torch.rand(1, 1, 16, 16, 1, requires_grad=True)).requires_grad


def test_training_changes_neither_the_statistics_nor_what_a_slice_gives(narrow_mobile_encoder: MobileSAMSliceEncoder) -> None:
    encoder = MobileSAMSliceEncoder(NARROW_TINY_VIT, trainable=True).train()
    encoder.load_state_dict(narrow_mobile_encoder.state_dict())
    volume = torch.rand(1, 1, 48, 32, 3)
    embeddings = encoder(volume)
    assert_close(embeddings, narrow_mobile_encoder(volume), atol=1e-5, rtol=0)
    embeddings.square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []
    assert_close(dict(encoder.named_buffers()), dict(narrow_mobile_encoder.named_buffers()), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["patch_embed.seq.0.bn.running_var", "layers.2.blocks.0.attn.attention_biases", "neck.3.bias"])
def test_the_digest_changes_with_one_bit_of_a_weight_or_a_statistic(
    narrow_mobile_encoder: MobileSAMSliceEncoder, name: str
) -> None:
    before = narrow_mobile_encoder.sha256()
    state = {key: value.clone() for key, value in narrow_mobile_encoder.state_dict().items()}
    state[f"image_encoder.{name}"].view(torch.int32).flatten()[-1:].bitwise_xor_(1)
    narrow_mobile_encoder.load_state_dict(state)
    assert not torch.equal(narrow_mobile_encoder.sha256(), before)


def test_torchscript_equals_the_network(narrow_mobile_encoder: MobileSAMSliceEncoder) -> None:
    network = SAM3D(narrow_mobile_encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4))).eval()
    traced = torch.jit.trace(network, torch.rand(1, 1, 120, 50, 2), check_trace=False)
    volume = torch.rand(1, 1, 120, 50, 2)
    assert_close(traced(volume), network(volume), atol=1e-4, rtol=0)


def test_an_unknown_variant_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"variant must be vit_t or a mapping of dimensions, got 'vit_b'"):
        MobileSAMSliceEncoder("vit_b")
