"""A function and a point -> its Jacobian there as one matrix in float64, and the matrix's singular values."""

from collections.abc import Callable

import torch

Function = Callable[[torch.Tensor], torch.Tensor]


def jacobian(function: Function, point: torch.Tensor) -> torch.Tensor:
    """(numbers out, numbers in), exact: one backward pass for each number out."""
    rows = torch.func.jacrev(lambda flat: function(flat.view(point.shape)).flatten())
    return rows(point.double().flatten())


def singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """As many as the matrix has columns (directions of the input), largest first: a wide matrix has zeros at the end."""
    values = torch.linalg.svdvals(matrix)
    return torch.cat([values, values.new_zeros(matrix.shape[1] - len(values))])
