"""A layer over a volume too long for memory -> the same numbers, part by part along the depth.

Convolutions need their neighbouring slices, instance normalisation the mean and variance over the whole depth and nothing
else: so a convolution reads its parts with a halo, and its result waits in a store until its statistics are known.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch.nn import functional as F

from ..basics.contracts import DepthStore, ReadableStore

EPS = 1e-5  # of F.instance_norm

Layer = Callable[[torch.Tensor], torch.Tensor]


class View:
    """A store as it looks after `layer`, which is applied to whatever is read."""

    def __init__(self, store: ReadableStore, layer: Layer) -> None:
        self._store, self._layer = store, layer

    @property
    def depth(self) -> int:
        return self._store.depth

    def read(self, start: int, stop: int) -> torch.Tensor:
        return self._layer(self._store.read(start, stop))


class Sum:
    """Of two stores."""

    def __init__(self, first: ReadableStore, second: ReadableStore) -> None:
        self._first, self._second = first, second

    @property
    def depth(self) -> int:
        return self._first.depth

    def read(self, start: int, stop: int) -> torch.Tensor:
        return self._first.read(start, stop) + self._second.read(start, stop)


def unchanged(part: torch.Tensor) -> torch.Tensor:
    return part


def keep(results: Iterable[torch.Tensor], store: DepthStore) -> DepthStore:
    """All results, in `store`."""
    for part in results:
        store.append(part)
    return store


def parts(store: ReadableStore, slices: int) -> Iterator[torch.Tensor]:
    """The whole store, `slices` at a time."""
    for start in range(0, store.depth, slices):
        yield store.read(start, min(start + slices, store.depth))


def convolve(store: ReadableStore, slices: int, convolution: Layer, before: Layer = unchanged) -> Iterator[torch.Tensor]:
    """`convolution(before(store))`, `slices` at a time.

    convolution: 3 slices deep and without padding along the depth: d + 2 slices -> d. Zeros lie around the volume.
    """
    for start in range(0, store.depth, slices):
        stop = min(start + slices, store.depth)
        first, last = max(start - 1, 0), min(stop + 1, store.depth)
        part = before(store.read(first, last))
        yield convolution(F.pad(part, (0, 0, 0, 0, first - (start - 1), stop + 1 - last)))


def normalise(results: Iterable[torch.Tensor], store: DepthStore) -> Layer:
    """Puts all results into `store`; returns the instance normalisation with the statistics of all of them.

    The parts' means and squared deviations are merged in double precision (Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances", 1979).
    """
    count, (mean, squares) = 0, torch.zeros(2, dtype=torch.float64)
    for part in results:
        single = part.to(torch.promote_types(part.dtype, torch.float32))  # under autocast parts have half precision
        variance, part_mean = (moment.double() for moment in torch.var_mean(single, (2, 3, 4), correction=0, keepdim=True))
        part_count = part[0, 0].numel()
        difference = part_mean - mean
        total = count + part_count
        squares = squares + variance * part_count + difference.square() * (count * part_count / total)
        mean = mean + difference * (part_count / total)
        count = total
        store.append(part)
    scale = (squares / count + EPS).rsqrt()
    mean, scale = mean.to(single.dtype), scale.to(single.dtype)
    return lambda part: (part - mean).mul_(scale).to(part.dtype)
