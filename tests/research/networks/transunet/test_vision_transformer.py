"""The transformer of the hybrid: its positions, its attention, and the attention maps that it shows."""

import pytest
import torch
from scipy.ndimage import zoom
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.transunet.vision_transformer import TransformerLayer, VisionTransformer

NARROW = {"hidden_size": 24, "num_layers": 3, "num_heads": 3, "mlp_dim": 40, "position_grid": 4}


@pytest.fixture
def transformer() -> VisionTransformer:
    return VisionTransformer(8, **NARROW).eval()


@pytest.mark.parametrize("grid", [(4, 4), (2, 7), (9, 5)])
def test_positions_are_resampled_from_corner_to_corner_as_in_the_released_code(
    transformer: VisionTransformer, grid: tuple[int, int]
) -> None:
    transformer.layers = torch.nn.ModuleList()
    transformer.norm = torch.nn.Identity()
    torch.nn.init.zeros_(transformer.embedding.weight)
    torch.nn.init.zeros_(transformer.embedding.bias)
    expected = zoom(transformer.positions[0].detach().numpy(), (1, grid[0] / 4, grid[1] / 4), order=1)
    assert_close(transformer(torch.zeros(1, 8, *grid)), torch.from_numpy(expected)[None], atol=1e-6, rtol=0)


def test_every_position_sees_every_other(transformer: VisionTransformer) -> None:
    features = torch.randn(1, 8, 3, 4)
    changed = features.clone()
    changed[..., 0, 0] += 1
    assert ((transformer(features) - transformer(changed)).abs().amax(1) > 1e-6).all()


def test_slices_of_a_batch_do_not_see_each_other(transformer: VisionTransformer) -> None:
    features = torch.randn(3, 8, 4, 4)
    assert_close(transformer(features)[1:2], transformer(features[1:2]))


def test_a_layer_is_pre_normalised_attention_and_mlp_in_double_precision_by_hand() -> None:
    layer = TransformerLayer(24, 40, 3, dropout_rate=0.1).double().eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randn(2, 5, 24, dtype=torch.double)
    qkv = F.linear(F.layer_norm(tokens, (24,), layer.norm1.weight, layer.norm1.bias, 1e-6), layer.attn.qkv.weight)
    query, key, value = (qkv + layer.attn.qkv.bias).split(24, -1)
    heads = []
    for head in range(3):
        part = slice(8 * head, 8 * head + 8)
        weights = (query[..., part] @ key[..., part].mT / 8**0.5).softmax(-1)
        assert_close(layer.attention_map(tokens)[:, head], weights)
        heads.append(weights @ value[..., part])
    attended = tokens + F.linear(torch.cat(heads, -1), layer.attn.out_proj.weight, layer.attn.out_proj.bias)
    hidden = F.layer_norm(attended, (24,), layer.norm2.weight, layer.norm2.bias, 1e-6)
    hidden = F.gelu(F.linear(hidden, layer.mlp.linear1.weight, layer.mlp.linear1.bias))
    assert_close(layer(tokens), attended + F.linear(hidden, layer.mlp.linear2.weight, layer.mlp.linear2.bias))


def test_attention_maps_are_those_of_the_layers_in_their_order(transformer: VisionTransformer) -> None:
    features = torch.randn(2, 8, 3, 4)
    inputs: list[torch.Tensor] = []
    for layer in transformer.layers:
        layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    transformer(features)
    expected = [layer.attention_map(tokens) for layer, tokens in zip(transformer.layers, inputs, strict=True)]
    maps = list(transformer.attention_maps(features))
    assert len(maps) == 3
    assert maps[0].shape == (2, 3, 12, 12)
    assert_close(maps, expected)


def test_dropout_is_in_training_alone_and_never_of_attention(transformer: VisionTransformer) -> None:
    features = torch.randn(1, 8, 4, 4)
    assert_close(transformer(features), transformer(features), atol=0, rtol=0)
    assert not torch.equal(transformer.train()(features), transformer(features))
    layer = transformer.layers[0]
    tokens = torch.randn(1, 16, 24)
    assert_close(layer.attn(tokens), layer.attn(tokens), atol=0, rtol=0)
    assert not torch.equal(layer.mlp(tokens), layer.mlp(tokens))
