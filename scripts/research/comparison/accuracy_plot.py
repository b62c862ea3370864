"""Accuracies with their intervals, and what each cost -> one picture with a panel for each kind of cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from ...basics.figures import colour_of, new_figure, save_figure
from .compare_cases import Interval

WIDE = 50  # ratio of the largest to the smallest cost from which ticks at 1, 2 and 5 would run into each other


def draw_accuracy(accuracy: Mapping[str, Interval], costs: Mapping[str, Mapping[str, float]], measure: str, path: Path) -> None:
    """A network is shown as its rank, which the legend spells out: names beside the points would cover each other.

    accuracy: of each network; costs: of each quantity, named with its unit, each network's.
    """
    figure = new_figure(3.6 * len(costs) + 2, 4.6)
    ranked = sorted(accuracy, key=lambda network: -accuracy[network].value)
    panels = figure.subplots(1, len(costs), squeeze=False, sharey=True)[0]
    for axes, (quantity, values) in zip(panels, costs.items(), strict=True):
        for rank, network in enumerate(ranked, 1):
            at, dice = values[network], accuracy[network]
            axes.plot([at, at], [dice.low, dice.high], color=colour_of(rank), lw=1, alpha=0.5)
            axes.plot(at, dice.value, marker="o", color="white", markersize=11, markeredgecolor=colour_of(rank), alpha=0.8)
            axes.plot(at, dice.value, zorder=3, **_number(rank))
        axes.set(xlabel=quantity, xscale="log")
        axes.margins(x=0.12)
        is_wide = max(values.values()) > WIDE * min(values.values())
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(measure)
    handles = [Line2D([], [], linestyle="none", label=network, **_number(rank)) for rank, network in enumerate(ranked, 1)]
    figure.legend(handles=handles, loc="outside right center", fontsize=9)
    save_figure(figure, path)


def _number(rank: int) -> dict[str, Any]:
    return {"marker": f"${rank}$", "color": colour_of(rank), "markersize": 6 if rank < 10 else 8}
