"""AttentionDecoder against torch's own transformer layers and the stages written plainly; its presets against their matches."""

from typing import Any

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.inferers import EmbeddingInferer
from scripts.networks import SAM3D, ResidualDecoder
from scripts.research.measure import NaiveAttention, count_macs
from scripts.research.networks.attention.attention_decoder import AttentionDecoder
from scripts.research.networks.attention.sinusoidal_positions import sinusoidal_positions

NARROW = {"width": 12, "layers": 2, "heads": 2, "mlp_ratio": 2, "channels": (8, 8, 4, 4)}
MIXING = ["full", "axial", "windowed"]


def preset(name: str, **changes: Any) -> AttentionDecoder:
    """With the embeddings of one modality and 4 classes."""
    content = ConfigParser.load_config_file(str(ROOT / "configs" / "research" / "networks" / f"{name}.yaml"))
    options = {**content["network_def#decoder"], "in_channels": 256, "out_channels": 4, **changes}
    assert options.pop("_target_") == "scripts.research.networks.AttentionDecoder"
    return AttentionDecoder(**options)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def torch_layer(layer: nn.Module) -> nn.TransformerEncoderLayer:
    """torch's pre-norm layer with the weights of one of ours."""
    width, hidden = layer.norm1.normalized_shape[0], layer.mlp.linear1.out_features
    theirs = nn.TransformerEncoderLayer(width, layer.mixing.heads, hidden, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs = theirs.double()
    pairs = {
        theirs.self_attn.out_proj: layer.mixing.project,
        theirs.linear1: layer.mlp.linear1,
        theirs.linear2: layer.mlp.linear2,
        theirs.norm1: layer.norm1,
        theirs.norm2: layer.norm2,
    }
    for target, source in pairs.items():
        target.load_state_dict(source.state_dict())
    theirs.self_attn.in_proj_weight.data = layer.mixing.qkv.weight.data
    theirs.self_attn.in_proj_bias.data = layer.mixing.qkv.bias.data
    return theirs


def plain_decoder(decoder: AttentionDecoder, embeddings: torch.Tensor) -> list[torch.Tensor]:
    """Full attention; convolutions and heads after the upsampling."""
    size = (embeddings.shape[4], *embeddings.shape[2:4])
    tokens = decoder.embed(embeddings.permute(0, 4, 2, 3, 1).flatten(1, 3))  # (B, T, width)
    tokens = tokens + sinusoidal_positions(size, tokens.shape[-1]).flatten(0, 2)
    for layer in decoder.layers:
        tokens = torch_layer(layer)(tokens)
    features = decoder.norm(tokens).mT.unflatten(2, size)  # (B, width, D, h, w)
    levels = []
    for stage in decoder.stages:
        features = F.leaky_relu(nn.InstanceNorm3d(stage.out_channels)(stage(features)))
        slices = [F.interpolate(part, scale_factor=2, mode="bilinear", align_corners=False) for part in features.unbind(2)]
        features = torch.stack(slices, 2)
        levels.append(features.movedim(2, -1))
    return [
        torch.einsum("bchwd,kc->bkhwd", level, head.weight[..., 0, 0, 0]) + head.bias[:, None, None, None]
        for level, head in zip(levels[::-1], list(decoder.heads)[::-1], strict=False)
    ]


@pytest.mark.parametrize("in_channels", [12, 7])
@pytest.mark.parametrize("supervised_stages", [4, 2])
def test_equals_transformer_layers_and_pointwise_stages(in_channels: int, supervised_stages: int) -> None:
    decoder = AttentionDecoder(in_channels, 3, **NARROW, supervised_stages=supervised_stages).double()
    embeddings = torch.randn(2, in_channels, 3, 2, 4, dtype=torch.double)
    logits, expected = decoder(embeddings), plain_decoder(decoder, embeddings)
    assert len(logits) == supervised_stages
    for level, reference in zip(logits, expected, strict=True):
        assert_close(level, reference, atol=1e-10, rtol=0)


@pytest.mark.parametrize("mixing", MIXING)
def test_fused_attention_equals_naive_attention(mixing: str) -> None:
    decoder = AttentionDecoder(12, 3, **NARROW, mixing=mixing).double()
    embeddings = torch.randn(2, 12, 5, 3, 6, dtype=torch.double)
    with NaiveAttention():
        naive = decoder(embeddings)
    for level, reference in zip(decoder(embeddings), naive, strict=True):
        assert_close(level, reference, atol=1e-12, rtol=0)


@pytest.mark.parametrize("mixing", MIXING)
@pytest.mark.parametrize(("height", "width", "depth"), [(2, 3, 1), (1, 5, 4), (1, 1, 9)])
def test_levels_are_finest_first_and_keep_the_depth(mixing: str, height: int, width: int, depth: int) -> None:
    decoder = AttentionDecoder(12, 3, **NARROW, mixing=mixing)
    shapes = [tuple(level.shape) for level in decoder(torch.randn(2, 12, height, width, depth))]
    assert shapes == [(2, 3, scale * height, scale * width, depth) for scale in (16, 8, 4, 2)]


@pytest.mark.parametrize("mixing", MIXING)
def test_gradients_reach_every_parameter(mixing: str) -> None:
    decoder = AttentionDecoder(12, 3, **NARROW, mixing=mixing)
    sum(level.square().mean() for level in decoder(torch.randn(1, 12, 5, 3, 6))).backward()
    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None or not parameter.grad.any()] == []


@pytest.mark.parametrize("mixing", MIXING)
def test_a_trace_computes_the_same(mixing: str) -> None:
    decoder = AttentionDecoder(12, 3, **NARROW, mixing=mixing).eval()
    traced = torch.jit.trace(decoder, torch.randn(1, 12, 5, 3, 6))
    embeddings = torch.randn(1, 12, 5, 3, 6)
    for level, reference in zip(traced(embeddings), decoder(embeddings), strict=True):
        assert_close(level, reference)


def test_a_volume_of_one_position_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"single position.*more than one slice"):
        AttentionDecoder(12, 3, **NARROW)(torch.randn(2, 12, 1, 1, 1))


@pytest.mark.parametrize(
    ("option", "value"), [("width", 13), ("layers", 0), ("supervised_stages", 0), ("supervised_stages", 5), ("mixing", "none")]
)
def test_a_wrong_option_is_refused_in_words(option: str, value: str | int) -> None:
    with pytest.raises(ValueError, match=f"{option} must be .*{value}"):
        AttentionDecoder(12, 3, **{**NARROW, option: value})


@pytest.mark.parametrize("name", ["attention", "attention_axial", "attention_windowed"])
@pytest.mark.parametrize("classes", [3, 4])
def test_presets_have_as_many_parameters_as_the_default_decoder(name: str, classes: int) -> None:
    expected = parameters(ResidualDecoder(256, classes))
    assert parameters(preset(name, out_channels=classes)) == pytest.approx(expected, rel=0.005)


def test_one_preset_has_the_arithmetic_of_the_default_decoder() -> None:
    with torch.device("meta"):  # shapes are enough to count
        embeddings = torch.empty(1, 256, 4, 6, 24)  # of 64 x 96 x 24, the crops of the hippocampus preset: 576 tokens
        convolution, attention = ResidualDecoder(256, 4), preset("attention_macs")
    expected, of_modules = count_macs(lambda: convolution(embeddings))
    assert sum(of_modules[f"ResidualDecoder.stages.{index}"] for index in range(4)) == 8_847_360 * 576
    assert count_macs(lambda: attention(embeddings))[0] == pytest.approx(expected, rel=0.02)


def test_a_decoder_that_needs_all_slices_is_not_streamed_but_refused_in_words(narrow_network: SAM3D) -> None:
    decoder = AttentionDecoder(256, 4, width=8, layers=1, heads=2, channels=(4, 4, 4, 4))
    network = SAM3D(narrow_network.encoder, decoder).eval()
    volume = torch.rand(1, 1, 32, 32, 9)
    with torch.no_grad():
        assert EmbeddingInferer(roi_depth=4)(volume, network).shape == (1, 4, 32, 32, 9)
        with pytest.raises(ValueError, match=r"attention decoder cannot decode a volume part by part.*smaller roi_depth"):
            EmbeddingInferer(roi_depth=4, memory=0)(volume, network)
