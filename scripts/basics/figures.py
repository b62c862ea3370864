"""Figures drawn without a window system: made, coloured by class, saved whole."""

from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..files.atomic_write import atomic_write

COLOURS = [to_rgb(colour) for colour in color_sequences["tab10"]]
OPACITY = 0.45  # of a class over its image
RESOLUTION = 110  # dots per inch

Colour = tuple[float, float, float]


def new_figure(width: float, height: float) -> Figure:
    """In inches. pyplot would keep every figure and look for a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colour_of(number: int) -> Colour:
    """Of a class or a rank, from 1 on."""
    return COLOURS[(number - 1) % len(COLOURS)]


def fill(axes: Axes, region: np.ndarray, colour: Colour, opacity: float, aspect: float | Literal["auto"]) -> None:
    """Colours the pixels of `region` (rows, columns) over what is drawn already. aspect: height of a pixel over its
    width, `auto` what the axes leave."""
    axes.imshow(np.dstack([*(np.full(region.shape, c) for c in colour), opacity * region]), aspect=aspect)


def save_figure(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=RESOLUTION)
