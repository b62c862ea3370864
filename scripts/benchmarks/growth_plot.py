"""Times and peaks of memory at several sizes -> a picture of how they grow, on logarithmic axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from ..atomic_write import atomic_write


def draw_growth(title: str, size: str, sizes: Sequence[int], measured: Mapping[str, Sequence[float]], path: Path) -> None:
    """One panel for each quantity of `measured`, named with its unit; `size` names the other axis.

    A dashed line from the first point shows growth in proportion to the size.
    """
    figure = Figure(figsize=(4.2 * len(measured), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, (quantity, values) in zip(figure.subplots(1, len(measured), squeeze=False).flat, measured.items(), strict=True):
        axes.loglog(sizes, values, "o-", label="measured")
        axes.loglog(sizes, [values[0] * s / sizes[0] for s in sizes], "--", color="grey", label="in proportion")
        axes.set(xlabel=size, ylabel=quantity)
        _set_ticks(axes, sizes)
        axes.grid(which="both", alpha=0.3)
        axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _set_ticks(axes: Axes, sizes: Sequence[int]) -> None:
    """Ticks at the measured sizes and at 1, 2, 5: powers of ten alone may not occur on axes so short."""
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
