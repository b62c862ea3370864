"""A grid of tokens -> its attention windows, those of one shape together -> the grid again."""

from collections.abc import Callable

import torch


def over_windows(tokens: torch.Tensor, window: tuple[int, int], attend: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """(N, h, w, C) -> (N, h, w, C'), by `attend`, (n, a, b, C) -> (n, a, b, C'), on windows of at most A x B tokens.

    Those at the right and bottom edge hold the tokens that are there, a < A or b < B: no padding is made. Windows of one shape
    (full, right edge, bottom edge, corner) run together.
    """
    height, width = (int(size) for size in tokens.shape[1:3])  # plain numbers also while tracing
    bands = []
    for top, rows, real_h in _runs(height, window[0]):
        band = []
        for left, columns, real_w in _runs(width, window[1]):
            part = tokens[:, top : top + rows * real_h, left : left + columns * real_w]
            part = part.unflatten(2, (columns, real_w)).unflatten(1, (rows, real_h)).transpose(2, 3)
            part = attend(part.flatten(0, 2)).unflatten(0, (-1, rows, columns)).transpose(2, 3)
            band.append(part.flatten(3, 4).flatten(1, 2))
        bands.append(torch.cat(band, 2))
    return torch.cat(bands, 1)


def _runs(length: int, window: int) -> list[tuple[int, int, int]]:
    """Runs of equal windows along an axis: (first token, number of windows, real tokens in each)."""
    full, rest = divmod(length, window)
    return [(0, full, window)] * (full > 0) + [(full * window, 1, rest)] * (rest > 0)
