"""Measures of every case, and curves of a training run -> figures for a page."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...basics.figures import Colour, colour_of, new_figure
from .inline_svg import INK, SETTINGS, inline_svg

WIDTH, ROW, AROUND = 4.4, 0.55, 0.75  # inches
BINS, STEP, HALF = 40, 0.07, 0.32  # of a swarm: along the values, between two points of a bin, and its largest half width
OVERALL = ("loss", "mean dice")  # ends of the names of curves that are no class's
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name -> steps and values


def box_and_swarm(
    name: str, values: Mapping[str, Sequence[float]], links: Mapping[str, Sequence[str]], colours: Sequence[Colour]
) -> str:
    """A row for each class: quartiles, median, whiskers to the last value within 1.5 times the box, and every case as a point.

    values, links: of each class, case by case; a point leads to its link.
    """
    with rc_context(SETTINGS):
        figure = new_figure(WIDTH, ROW * len(values) + AROUND)
        axes = figure.subplots()
        for row, ((label, points), colour) in enumerate(zip(values.items(), colours, strict=True)):
            if not points:
                continue
            style = {"color": INK, "linewidth": 0.8}
            axes.boxplot(
                [points],
                positions=[row],
                orientation="horizontal",
                widths=0.62,
                showfliers=False,
                boxprops=style,
                whiskerprops=style,
                capprops=style,
                medianprops={"color": INK, "linewidth": 1.8},
            )
            offsets = row + swarm(points)
            cloud = axes.scatter(points, offsets, s=13, color=[(*colour, 0.8)], linewidths=0, zorder=3)
            cloud.set_urls(list(links[label]))
        axes.set_yticks(range(len(values)), list(values))
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        _in_ink(axes)
        return inline_svg(figure, name)


def swarm(values: Sequence[float]) -> np.ndarray:
    """Beside the middle of a row, for each value: those that lie close together stand side by side."""
    array = np.asarray(values, dtype=float)
    spread = float(np.ptp(array)) or 1.0
    bins = np.rint((array - array.min()) / spread * BINS).astype(int)
    offsets = np.zeros(len(array))
    step = min(STEP, 2 * HALF / max(int(np.bincount(bins).max()) - 1, 1))
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        offsets[members] = (np.arange(len(members)) - (len(members) - 1) / 2) * step
    return offsets


def curves_plot(name: str, curves: Curves) -> str:
    """Over the epochs; a single value is a point. Classes have their colours by rank, what is no class that of the text; of
    several runs each curve has its own."""
    with rc_context(SETTINGS):
        figure = new_figure(WIDTH, 2.6)
        axes = figure.subplots()
        rank = 0
        plain = sum(label.endswith(OVERALL) for label in curves) == 1
        for label, (steps, values) in curves.items():
            is_plain = plain and label.endswith(OVERALL)
            rank += not is_plain
            colour = INK if is_plain else colour_of(rank)
            axes.plot(
                steps, values, color=colour, linewidth=1.4, marker="o" if len(steps) < 3 else "", markersize=4, label=label
            )
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        if len(curves) > 1:
            axes.legend(frameon=False, labelcolor=INK, fontsize=8)
        _in_ink(axes)
        return inline_svg(figure, name)


def _in_ink(axes: Axes) -> None:
    axes.tick_params(colors=INK)
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color=INK, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)
