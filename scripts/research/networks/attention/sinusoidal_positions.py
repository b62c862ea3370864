"""The size of a grid of tokens -> sines and cosines that tell every position from the others, without parameters."""

import torch

LONGEST = 10_000  # Vaswani et al., "Attention Is All You Need" (arXiv:1706.03762), section 3.5


def sinusoidal_positions(size: tuple[int, ...], width: int, device: torch.device | None = None) -> torch.Tensor:
    """(D, h, w, width): each axis has a third of the channels, sines first; `width` is even."""
    pairs = width // 2
    axes = []
    for axis, length in enumerate(size):
        count = (pairs + 2 - axis) // 3  # the thirds of any number: they sum to it
        frequencies = LONGEST ** -(torch.arange(count, device=device) / max(count, 1))
        angles = torch.arange(length, device=device)[:, None] * frequencies  # (length, count)
        shape = [1, 1, 1, 2 * count]
        shape[axis] = length
        axes.append(torch.cat([angles.sin(), angles.cos()], -1).view(shape).expand(*size, -1))
    return torch.cat(axes, -1)
