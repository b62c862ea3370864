"""MedT: the parameters of the released code, two branches that see what they should, trainable and exportable."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.medt.medt import MedT


def narrow(**changes: int) -> MedT:
    torch.manual_seed(0)
    settings = {"img_size": 32, "channels": (4, 4, 8, 8), "blocks": (1, 1, 1, 1), "num_heads": 2, "stem_channels": 8} | changes
    return MedT(1, 3, **settings)


def settled() -> MedT:
    """In evaluation, with statistics of images to normalise by: with those of construction deep maps fade away."""
    network = narrow().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    network(image(2, 1, 32, 32))
    return network.eval()


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def released_parameters(modalities: int, classes: int, size: int) -> tuple[int, int]:
    """Of medt_net as lib/models/axialnet.py builds it: all, and those of layers that its forward never calls.

    github.com/jeya-maria-jose/Medical-Transformer at 9d17166, counted layer by layer.
    """

    def convolution(before: int, after: int, kernel: int, bias: bool = True) -> int:
        return before * after * kernel**2 + bias * after

    def stem(width: int) -> int:
        kernels = convolution(modalities, width, 7, False) + 2 * convolution(width, 128, 3, False)
        return kernels + 2 * (width + 128 + width)

    def attention(c: int, span: int | None) -> int:
        if span is None:
            return 2 * c * c + 2 * 2 * c + 2 * 8 + 2 * c  # qkv; normalisation of qkv, similarities (8 heads) and results
        return 2 * c * c + 2 * 2 * c + 2 * 3 * 8 + 2 * 2 * c + 4 + 2 * (c // 8) * (2 * span - 1)

    def stage(before: int, c: int, count: int, span: int | None, stride: int) -> int:
        total = 0
        for block in range(count):
            total += before * c + 2 * c + 2 * attention(c, span) + 2 * c * c + 2 * 2 * c
            total += (before * 2 * c + 2 * 2 * c) if block == 0 else 0  # the shortcut
            span = span and span // (1 if block else stride)
            before = 2 * c
        return total

    image_branch = stem(8) + stage(8, 16, 1, size // 2, 1) + stage(32, 32, 2, size // 2, 2)
    image_branch += convolution(64, 32, 3) + convolution(32, 16, 3)
    patch_branch = stem(64) + stage(64, 16, 1, None, 1) + stage(32, 32, 2, None, 2)
    patch_branch += stage(64, 64, 4, None, 2) + stage(128, 128, 1, None, 2)
    widths = (256, 256, 128, 64, 32, 16)
    patch_branch += sum(convolution(b, a, 3) for b, a in pairwise(widths))
    used = image_branch + patch_branch + convolution(16, 16, 3) + convolution(16, classes, 1)
    unused = convolution(16, classes, 1) + sum(convolution(c, c, 1) for c in (16, 32, 32, 64, 64, 64, 64, 128))
    return used + unused, unused


def test_parameters_are_those_of_the_released_code_without_what_it_never_uses() -> None:
    """1.56 M there at 128 pixels, 1.52 M of them in use; the paper prints 1.4 M."""
    with torch.device("meta"):
        network = MedT(3, 2)
    released, unused = released_parameters(3, 2, 128)
    assert (released, unused) == (1_560_140, 35_570)
    assert sum(parameter.numel() for parameter in network.parameters()) == released - unused


@pytest.mark.parametrize("shape", [(32, 32), (48, 16), (16, 16), (64, 96), (20, 28)])
def test_logits_have_the_size_of_the_image(shape: tuple[int, int]) -> None:
    network = settled()
    assert network(image(2, 1, *shape)).shape == (2, 3, *shape)


def test_the_local_branch_sees_each_patch_by_itself_and_the_global_one_everything() -> None:
    network = settled()
    before = image(1, 1, 32, 64)
    after = before.clone()
    after[:, :, 8:16, 32:48] += 1  # the patch in row 1, column 2
    changed = (network.local(after) - network.local(before)).abs().amax(1)[0] > 0
    inside = torch.zeros(32, 64, dtype=torch.bool)
    inside[8:16, 32:48] = True
    assert changed[inside].any()
    assert not changed[~inside].any()
    assert (network.global_branch(after) - network.global_branch(before)).abs().amax(1)[0, -4:, :4].max() > 0


def test_the_head_reads_the_sum_of_both_branches() -> None:
    network = settled()
    whole = image(2, 1, 32, 32)
    features = network.global_branch(whole)
    for row in range(4):
        for column in range(4):
            place = (..., slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
            features[place] += network.local_branch(whole[place])
    assert_close(network(whole), network.head(F.relu(network.convolution(features))))


def test_each_branch_adds_every_stage_on_the_way_back() -> None:
    network = settled()
    patch = image(1, 1, 32, 32)

    def enlarged(features: torch.Tensor, size: int) -> torch.Tensor:
        return F.interpolate(features, (size, size), mode="bilinear", align_corners=False).clamp_min(0)

    for branch in (network.global_branch, network.local_branch):
        features, stages = branch.stem(patch), []
        for stage in branch.stages:
            features = stage(features)
            stages.append(features)
        if len(stages) == 4:  # 2 x 2 positions, of which one more convolution looks at half
            features = stages[3] + enlarged(branch.bottom(stages[3]), 2)
            features = stages[2] + enlarged(branch.decoder[0](features), 4)
            features = stages[1] + enlarged(branch.decoder[1](features), 8)
        features = stages[0] + enlarged(branch.decoder[-2](features), 16)
        assert_close(branch(patch), enlarged(branch.decoder[-1](features), 32))


def test_attention_over_lines_of_the_tables_size_at_the_size_of_construction() -> None:
    network = MedT(1, 2, img_size=64)
    stages = network.global_branch.stages
    spans = [[block.residual[3].tables.shape[1] for block in stage] for stage in stages]
    assert spans == [[2 * 32 - 1], [2 * 32 - 1, 2 * 16 - 1]]


def test_a_trace_answers_as_the_network() -> None:
    network = settled()
    traced = torch.jit.trace(network, image(2, 1, 32, 48))
    other = torch.randn(2, 1, 32, 48)
    assert_close(traced(other), network(other))


def test_the_loss_falls_at_the_learning_rate_of_the_config() -> None:
    network = narrow().train()
    slices = image(8, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)  # squares of 8 x 8 pixels
    labels = (slices[:, 0] > 0.5).long() + (slices[:, 0] > 0.8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(network(slices), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
    assert losses[-1] < 0.95 * losses[0], losses
