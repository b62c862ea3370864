"""Measurements at several sizes -> a picture of how they grow, on logarithmic axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from ...basics.figures import new_figure, save_figure
from .growth_fit import Growth


@dataclass(frozen=True)
class Curve:
    sizes: Sequence[float]
    values: Sequence[float]
    fit: Growth | None = None


def draw_growth(title: str, size: str, sizes: Sequence[int], measured: Mapping[str, Sequence[float]], path: Path) -> None:
    """One panel for each quantity of `measured`, named with its unit; `size` names the other axis.

    A dashed line from the first point shows growth in proportion to the size.
    """
    figure = new_figure(4.2 * len(measured), 3.6)
    figure.suptitle(title)
    for axes, (quantity, values) in zip(figure.subplots(1, len(measured), squeeze=False).flat, measured.items(), strict=True):
        axes.loglog(sizes, values, "o-", label="measured")
        axes.loglog(sizes, [values[0] * s / sizes[0] for s in sizes], "--", color="grey", label="in proportion")
        axes.set(xlabel=size, ylabel=quantity)
        _set_ticks(axes, sizes)
        axes.grid(which="both", alpha=0.3)
        axes.legend()
    save_figure(figure, path)


def draw_comparison(
    title: str, size: str, quantity: str, panels: Mapping[str, Mapping[str, Curve]], crossings: Mapping[str, float], path: Path
) -> None:
    """One panel for each condition of `panels`, with its curves by name; their fits are dashed.

    crossings: of a panel, the size at which two of its curves cross: a dotted line.
    """
    figure = new_figure(max(5.6 * len(panels), 8), 5.4)
    figure.suptitle(title)
    names = dict.fromkeys(name for curves in panels.values() for name in curves)
    colours = {name: f"C{index}" for index, name in enumerate(names)}
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True).flat
    for axes, (panel, curves) in zip(all_axes, panels.items(), strict=True):
        for name, curve in curves.items():
            axes.loglog(curve.sizes, curve.values, "o-", markersize=4, linewidth=1, color=colours[name], label=name)
            if curve.fit is not None:
                ends = (curve.fit.first, curve.fit.last)
                axes.loglog(ends, [curve.fit.at(end) for end in ends], "--", linewidth=2.5, alpha=0.5, color=colours[name])
        if panel in crossings:
            axes.axvline(crossings[panel], linestyle=":", color="black")
            axes.annotate(
                f"crossing: {crossings[panel]:,.0f}", (crossings[panel], 0.02), (-4, 0), ha="right",
                xycoords=("data", "axes fraction"), textcoords="offset points",
            )  # fmt: skip
        axes.set(title=panel, xlabel=size, ylabel=quantity)
        _set_ticks(axes, None)
        axes.grid(which="both", alpha=0.3)
    handles = {text: line for axes in figure.axes for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    save_figure(figure, path)


def _set_ticks(axes: Axes, sizes: Sequence[int] | None) -> None:
    """Ticks at the measured sizes, if there are few, and at 1, 2, 5: powers of ten alone may not occur on axes so short."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if sizes is None else FixedLocator(sizes))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
