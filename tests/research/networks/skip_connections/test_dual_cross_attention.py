"""DualCrossAttention against its two definitions, written plainly, and against the paper's numbers of parameters."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.skip_connections.dual_cross_attention import DualCrossAttention, SkipControl, token_grid

CHANNELS = [4, 8, 12]
VARIANTS = ["paper", "adjacent"]
SIZES = {2: [(8, 12), (4, 6), (2, 3)], 3: [(8, 12, 4), (4, 6, 4), (2, 3, 2)]}  # pooled in whole blocks


def plain(module: DualCrossAttention, skips: list[torch.Tensor]) -> list[torch.Tensor]:
    """The docstring's four lines on the module's weights, in the released order; all maps made explicitly."""
    dims, levels = skips[0].ndim - 2, range(len(skips))
    grid = skips[-1].shape[2:]

    def affine(projection: nn.Module, tokens: torch.Tensor) -> torch.Tensor:  # tokens are (B, C, N) here
        if isinstance(projection, nn.Linear):
            return torch.einsum("dc,bcn->bdn", projection.weight, tokens) + projection.bias[:, None]
        return projection.weight[:, 0] * tokens + projection.bias[:, None]

    def norm(layer: nn.LayerNorm, tokens: torch.Tensor) -> torch.Tensor:
        centred = tokens - tokens.mean(1, keepdim=True)
        normed = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return layer.weight[:, None] * normed + layer.bias[:, None]

    def sources(i: int, spatial: bool) -> list[int]:
        if module.variant == "paper":
            return list(levels)
        return [j for j in levels if (abs(i - j) == 1 if spatial else i != j)]

    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    tokens = []
    for i in levels:
        blocks = tuple(size // cells for size, cells in zip(skips[i].shape[2:], grid, strict=True))
        tokens.append(affine(module.embeddings[i], pool(skips[i], blocks).flatten(2)))

    normed = [norm(module.channel_norms[i], tokens[i]) for i in levels]
    for i in levels:
        attention, context = module.channel_attention[i], torch.cat([normed[j] for j in sources(i, spatial=False)], 1)
        query, key, value = affine(attention.query, normed[i]), affine(attention.key, context), affine(attention.value, context)
        weights = (query @ key.mT / math.sqrt(context.shape[1])).softmax(2)  # (B, C_i, context)
        tokens[i] = tokens[i] + affine(attention.projection, weights @ value)

    normed = [norm(module.spatial_norms[i], tokens[i]) for i in levels]
    for i in levels:
        attention, context = module.spatial_attention[i], torch.cat([normed[j] for j in sources(i, spatial=True)], 1)
        query, value = (context, normed[i]) if module.variant == "paper" else (normed[i], context)
        heads = [
            part.chunk(4, 1)
            for part in (affine(attention.query, query), affine(attention.key, context), affine(attention.value, value))
        ]
        mixed = []
        for head_query, head_key, head_value in zip(*heads, strict=True):
            weights = (head_query.mT @ head_key / math.sqrt(head_query.shape[1])).softmax(2)  # (B, N, N)
            mixed.append((weights @ head_value.mT).mT)
        tokens[i] = tokens[i] + affine(attention.projection, torch.cat(mixed, 1))

    results = []
    for i in levels:
        level = tokens[i].unflatten(2, grid)
        mode = "bilinear" if dims == 2 else "trilinear"
        level = F.interpolate(level, size=skips[i].shape[2:], mode=mode, align_corners=True)
        level = affine(module.reconstructions[i], level.flatten(2)).view_as(skips[i])
        results.append(module.skips.levels[i](skips[i] + level))
    return results


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_equals_its_definition(spatial_dims: int, variant: str) -> None:
    module = DualCrossAttention(CHANNELS, spatial_dims, variant).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)  # LayerNorm and BN start as 1 and 0, where a mistake would not show
    skips = [torch.randn(2, c, *size).double() for c, size in zip(CHANNELS, SIZES[spatial_dims], strict=True)]
    for level, expected in zip(module(skips), plain(module, skips), strict=True):
        assert_close(level, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "sizes",
    [
        [(9, 7), (5, 4), (2, 2)],  # no whole blocks
        [(16, 16), (8, 8), (16, 16)],  # the coarsest level in the middle, as in nested decoders
        [(9, 7, 5), (5, 4, 3), (3, 2, 1)],
        [(8, 8, 1), (4, 4, 1), (2, 2, 1)],  # a single slice
        [(1, 1, 3), (1, 1, 2), (1, 1, 1)],
    ],
)
def test_keeps_the_shapes_of_any_size(sizes: list[tuple[int, ...]], variant: str) -> None:
    skips = [torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes, strict=True)]
    results = DualCrossAttention(CHANNELS, len(sizes[0]), variant)(skips)
    assert [level.shape for level in results] == [skip.shape for skip in skips]
    assert all(level.isfinite().all() for level in results)


@pytest.mark.parametrize(
    ("sizes", "tokens", "grid"),
    [
        ([(224, 224), (112, 112), (56, 56), (28, 28)], 4096, (28, 28)),  # the paper's
        ([(64, 64, 32), (16, 16, 16)], 4096, (16, 16, 16)),
        ([(64, 64, 32), (32, 32, 16)], 4096, (16, 16, 16)),  # each axis halved but the shortest
        ([(512, 512), (128, 100)], 4096, (64, 50)),
        ([(7, 5), (5, 7)], 4096, (5, 5)),  # no axis finer than any level's
        ([(9, 9)], 1, (1, 1)),
    ],
)
def test_the_grid_is_the_coarsest_level_halved_to_the_cap(
    sizes: list[tuple[int, ...]], tokens: int, grid: tuple[int, ...]
) -> None:
    assert token_grid(sizes, tokens) == grid


def test_tokens_are_capped() -> None:
    module = DualCrossAttention([4, 4], 2, tokens=12)
    seen: list[torch.Size] = []
    module.spatial_attention[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    module([torch.randn(1, 4, 16, 12), torch.randn(1, 4, 8, 6)])
    assert seen == [(1, 12, 8)]  # 4 x 3 of 8 x 6


def test_without_what_attention_adds_it_is_the_control() -> None:
    module, control = DualCrossAttention(CHANNELS, 2), SkipControl(CHANNELS, 2)
    for reconstruction in module.reconstructions:
        nn.init.zeros_(reconstruction.weight)
        nn.init.zeros_(reconstruction.bias)
    skips = [torch.randn(2, c, *size) for c, size in zip(CHANNELS, SIZES[2], strict=True)]
    assert all(torch.equal(level, other) for level, other in zip(module(skips), control(skips), strict=True))


def test_the_control_is_batch_normalisation_and_relu() -> None:
    skip = 3 * torch.randn(4, 2, 5, 6, 7) + 1
    (level,) = SkipControl([2], 3)([skip])
    variance, mean = torch.var_mean(skip, (0, 2, 3, 4), correction=0, keepdim=True)
    assert_close(level, ((skip - mean) / (variance + 1e-5).sqrt()).clamp(min=0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_every_parameter_that_can_change_the_result(variant: str) -> None:
    module = DualCrossAttention(CHANNELS, 2, variant).double().eval()  # in training BN takes away what a constant adds
    skips = [torch.randn(2, c, *size).double() for c, size in zip(CHANNELS, SIZES[2], strict=True)]
    sum((level * torch.randn_like(level)).sum() for level in module(skips)).backward()
    without = {name for name, p in module.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    # The softmax over positions cancels what is the same for every key.
    assert without == {f"spatial_attention.{i}.key.bias" for i in range(len(CHANNELS))}


def test_can_be_traced() -> None:
    module = DualCrossAttention(CHANNELS, 3).eval()
    skips = [torch.randn(1, c, *size) for c, size in zip(CHANNELS, SIZES[3], strict=True)]
    traced = torch.jit.trace(module, (skips,), strict=False)  # it returns a list
    others = [torch.randn_like(skip) for skip in skips]
    for level, expected in zip(traced(others), module(others), strict=True):
        assert_close(level, expected)


def published_unet(in_channels: int = 3, out_channels: int = 1) -> nn.Module:
    """All layers with parameters of the U-Net of the paper's table, as released; in no order to run them.

    Two 3 x 3 convolutions with bias and BN at every level; bilinear upsampling and one more to half the channels.
    """

    def conv(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 3), nn.BatchNorm2d(after))

    widths = [32, 64, 128, 256, 512]
    down = [(before, after, after) for before, after in zip([in_channels, *widths], widths, strict=False)]
    up = [(2 * c, c, c) for c in widths[:-1]]
    double = [conv(*step) for a, b, c in [*down, *up] for step in ((a, b), (b, c))]
    return nn.ModuleList([*double, *(conv(2 * c, c) for c in widths[:-1]), nn.Conv2d(32, out_channels, 1)])


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_grows_the_papers_unet_as_the_paper_says() -> None:
    """Its table: 8.64 M and, with attention, 8.75 M: +1.28 %."""
    with torch.device("meta"):
        unet, attention = count(published_unet()), count(DualCrossAttention([32, 64, 128, 256], 2))
    assert attention == 110_560
    assert (round(unet / 1e6, 2), round((unet + attention) / 1e6, 2)) == (8.64, 8.75)
    assert 100 * attention / unet == pytest.approx(1.28, rel=0.005)


def test_the_number_of_parameters_does_not_depend_on_the_dimensions() -> None:
    assert count(DualCrossAttention(CHANNELS, 3)) == count(DualCrossAttention(CHANNELS, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": CHANNELS, "variant": "other"}, "variant must be 'paper' or 'adjacent', got 'other'"),
        ({"channels": [4], "variant": "adjacent"}, "there is only one; use variant 'paper'"),
        ({"channels": CHANNELS, "tokens": 0}, "tokens must be at least 1, got 0"),
        ({"channels": [4, 6]}, r"must divide by heads = 4, got \[4, 6\]"),
    ],
)
def test_what_cannot_be_is_refused_in_words(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DualCrossAttention(spatial_dims=2, **options)
