"""Positions that tell tokens apart."""

import math

import pytest
import torch
from torch.testing import assert_close

from scripts.research.networks.attention.sinusoidal_positions import sinusoidal_positions


@pytest.mark.parametrize("width", [6, 8, 10, 256])
def test_every_token_has_its_own(width: int) -> None:
    positions = sinusoidal_positions((6, 5, 7), width)
    assert positions.shape == (6, 5, 7, width)
    distances = torch.cdist(positions.view(-1, width), positions.view(-1, width)) + 10 * torch.eye(6 * 5 * 7)
    assert distances.min() > 0.05


def test_are_sines_and_cosines_of_the_coordinate_along_each_axis() -> None:
    positions = sinusoidal_positions((4, 5, 6), 12)[3, 1, 2]  # 2 frequencies an axis: 1 and 10000^(-1/2)
    expected = [f(x * frequency) for x in (3, 1, 2) for f in (math.sin, math.cos) for frequency in (1, 0.01)]
    assert_close(positions, torch.tensor(expected))


def test_do_not_change_as_the_grid_grows() -> None:
    assert torch.equal(sinusoidal_positions((9, 8, 7), 16)[:4, :3, :2], sinusoidal_positions((4, 3, 2), 16))
