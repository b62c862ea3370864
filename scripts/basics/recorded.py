"""Whether a network is being recorded for export, by `torch.export` or `torch.jit.trace`."""

import torch


def is_recorded() -> bool:
    """Then the size of the plane is a number, but the depth must stay free."""
    return torch.jit.is_tracing() or torch.compiler.is_exporting()


def plain(volume: torch.Tensor) -> torch.Tensor:
    """Without MetaTensor's bookkeeping, which costs Python time in every operation. What is recorded has none."""
    return volume if is_recorded() else volume.as_subclass(torch.Tensor)
