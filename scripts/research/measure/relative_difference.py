"""A result and a reference -> their largest difference, relative to the reference's largest magnitude."""

import torch


def relative_difference(result: torch.Tensor, reference: torch.Tensor) -> float:
    if result.shape != reference.shape:
        raise ValueError(f"results of {tuple(result.shape)} and {tuple(reference.shape)} cannot be compared")
    result, reference = result.double(), reference.double()
    return ((result - reference).abs().max() / reference.abs().max()).item()
