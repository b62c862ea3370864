"""Measurements of decoders -> their curves, exponents and crossings, while one axis of the embeddings grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..measure import Growth, crossing, fit_growth
from .systems import Grid, Study

AT_LEAST = 4  # sizes of the upper part: fewer leave a slope no confidence


@dataclass(frozen=True)
class Sweep:
    """measured: by grid, quantity and decoder."""

    name: str
    grids: Sequence[Grid]
    measured: Mapping[str, Any]

    def curves(self, quantity: str) -> dict[str, tuple[list[int], list[float]]]:
        """By decoder: numbers of tokens, and the values there."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for grid in self.grids:
            for system, value in self.measured[str(grid)][quantity].items():
                sizes, values = curves.setdefault(system, ([], []))
                sizes.append(prod(grid))
                values.append(value)
        return curves

    def fit(self, quantity: str, system: str, unit: float = 1.0, upper: bool = True) -> Growth:
        """upper: of the upper half of the sizes."""
        sizes, values = self.curves(quantity)[system]
        count = max(AT_LEAST, -(-len(sizes) // 2)) if upper else len(sizes)
        return fit_growth(sizes[-count:], [value / unit for value in values[-count:]])

    def crossing(self, quantity: str, system: str, other: str) -> float | None:
        """The T from which `system` takes more than `other`."""
        curves = self.curves(quantity)
        return crossing(curves[system][0], curves[system][1], curves[other][1])


def sweeps(study: Study, measured: Mapping[str, Any]) -> list[Sweep]:
    height, width, _ = study.depth_grids[0]
    depth = study.plane_grids[0][2]
    return [
        Sweep(f"D grows, h x w = {height} x {width}", study.depth_grids, measured),
        Sweep(f"h x w grows, D = {depth}", study.plane_grids, measured),
    ]
