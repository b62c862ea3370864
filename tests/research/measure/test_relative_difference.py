"""The distance between two results."""

import pytest
import torch

from scripts.research.measure import relative_difference


def test_the_largest_difference_in_units_of_the_largest_magnitude() -> None:
    assert relative_difference(torch.tensor([1.0, -7.0]), torch.tensor([1.5, -8.0])) == 1 / 8


def test_results_of_two_shapes_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) and \(3,\) cannot be compared"):
        relative_difference(torch.zeros(1, 3), torch.zeros(3))
