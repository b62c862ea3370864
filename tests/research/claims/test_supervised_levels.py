"""Claims on deep supervision: weights of sum 1, a direct gradient for every stage, stability, a mask of full size."""

from copy import deepcopy

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import nn
from torch.testing import assert_close

from scripts.losses import DeepSupervision
from scripts.networks import ResidualDecoder

WEIGHTS = [8 / 15, 4 / 15, 2 / 15, 1 / 15]  # finest first
STAGES = len(WEIGHTS)


def decoder() -> ResidualDecoder:
    return ResidualDecoder(8, 3, channels=(8, 8, 4, 4)).double()


def embeddings() -> torch.Tensor:
    return torch.randn(1, 8, 2, 2, 3, dtype=torch.double)


def loss(weights: list[float]) -> DeepSupervision:
    return DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), weights)


def test_both_forms_of_the_weights_are_the_ones_that_training_uses() -> None:
    parser = ConfigParser(ConfigParser.load_config_file(ROOT / "configs" / "train.json"))
    weights = parser.get_parsed_content("supervision_weights")
    ratios = [1, 1 / 2, 1 / 4, 1 / 8]  # which sum to 15/8
    assert weights == pytest.approx([ratio / sum(ratios) for ratio in ratios])
    assert weights == pytest.approx(WEIGHTS)
    assert sum(weights) == pytest.approx(1)


class One(nn.Module):
    """A loss of 1 at every level, so that the sum is that of the weights."""

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return logits.new_ones(())


def test_monais_default_weights_do_not_sum_to_one() -> None:
    levels = [torch.zeros(1, 1, 2, 2, 2)] * STAGES
    default = DeepSupervisionLoss(One())(levels, levels[0]).item()
    ours = DeepSupervision(One(), WEIGHTS)(levels, levels[0]).item()
    print(f"sum of the weights: MONAI's default {default:.3f}, ours {ours:.3f}")
    assert default == pytest.approx(1.875)
    assert ours == pytest.approx(1)


@pytest.mark.parametrize("level", range(STAGES))
def test_a_level_sends_gradient_to_the_stages_up_to_it_and_to_no_other(level: int) -> None:
    """Level 0 is the finest and goes through all stages; the coarsest ends after the first."""
    network = decoder()
    only = [float(index == level) for index in range(STAGES)]
    loss(only)(network(embeddings()), torch.randint(0, 3, (1, 1, 32, 32, 3))).backward()
    reached = [bool(stage.conv1.weight.grad.any()) for stage in network.stages]
    heads = [bool(head.weight.grad.any()) for head in network.heads]  # coarsest first
    last = STAGES - 1 - level
    assert reached == [stage <= last for stage in range(STAGES)]
    assert heads == [head == last for head in range(STAGES)]


def test_the_gradient_of_the_sum_is_the_sum_of_the_levels_gradients() -> None:
    network, volume, label = decoder(), embeddings(), torch.randint(0, 3, (1, 1, 32, 32, 3))

    def gradient(weights: list[float]) -> torch.Tensor:
        network.zero_grad()
        loss(weights)(network(volume), label).backward()
        return network.stages[0].conv1.weight.grad.clone()

    levels = [gradient([float(index == level) for index in range(STAGES)]) for level in range(STAGES)]
    assert_close(gradient(WEIGHTS), sum(weight * part for weight, part in zip(WEIGHTS, levels, strict=True)))


def test_the_sum_of_the_weights_does_not_change_a_step_of_adam() -> None:
    """A factor on the loss, here MONAI's 1.875, is divided out again: the weights' ratios matter, their sum does not."""
    label = torch.randint(0, 3, (1, 1, 32, 32, 3))
    first, volume = decoder(), embeddings()
    second, start = deepcopy(first), deepcopy(list(first.parameters()))
    for network, factor in ((first, 1.0), (second, 1.875)):
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, eps=1e-20)
        for _ in range(2):
            optimizer.zero_grad()
            loss([factor * weight for weight in WEIGHTS])(network(volume), label).backward()
            optimizer.step()
    for after, scaled, before in zip(first.parameters(), second.parameters(), start, strict=True):
        assert (after - before).abs().max() > 1e-3
        assert_close(after, scaled, atol=1e-7, rtol=0)


def test_stages_enlarge_the_plane_only() -> None:
    """x2 along D as well, as "trilinear x2" reads, would make the mask 16 times as deep as the volume."""
    finest = decoder()(embeddings())[0]
    threefold = embeddings()
    for _ in range(STAGES):
        threefold = nn.functional.interpolate(threefold[:, :1], scale_factor=2, mode="trilinear")
    print(f"2 x 2 tokens and 3 slices: {tuple(finest.shape[2:])}; x2 along all axes: {tuple(threefold.shape[2:])}")
    assert finest.shape[2:] == (32, 32, 3)
    assert threefold.shape[2:] == (32, 32, 48)
