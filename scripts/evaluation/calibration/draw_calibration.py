"""What a calibration measured -> one picture: reliability, predicted against true Dice, risk against coverage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...basics.figures import colour_of, new_figure, save_figure

GREY = "0.55"
WHEN = {"before": (GREY, "before"), "after": (colour_of(1), "after")}


def draw_calibration(report: Mapping[str, Any], structures: Sequence[str], path: Path) -> None:
    """Draws what `calibrate_cases` reports, all of it of cases that nothing was fitted to."""
    figure = new_figure(13.5, 4.6)
    probability, dice, risk = figure.subplots(1, 3)
    _draw_reliability(probability, report)
    _draw_dice(dice, report["by_case"], structures)
    if report["risk_coverage"]:
        _draw_risk(risk, report["risk_coverage"])
    for axes in (probability, dice, risk):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _draw_reliability(axes: Axes, report: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color="0.8", lw=1, zorder=0)
    errors = report["calibration_error"]["near"]
    for when, (colour, name) in WHEN.items():
        bins = report["reliability"][when]
        points = [[row[key] for row in bins] for key in ("probability", "share")]
        axes.plot(*points, "o-", color=colour, ms=4, lw=1.5, label=f"{name}: error {errors[when]['mean']:.3f}")
    temperature = ", ".join(f"{one:.2f}" for one in report["temperature"]["value"])
    axes.set_title(f"Reliability near structures (temperature {temperature})")
    axes.set(xlabel="probability of a structure", ylabel="share of the references")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _draw_dice(axes: Axes, cases: Sequence[Mapping[str, Any]], structures: Sequence[str]) -> None:
    pairs = np.array([[case["predicted_dice"], case["dice"]] for case in cases], dtype=float)  # (n, 2, S)
    for number, name in enumerate(structures):
        axes.plot(*pairs[:, :, number].T, "o", color=colour_of(number + 1), ms=4, alpha=0.7, label=name)
    low = float(np.nanmin(pairs, initial=1.0))
    ends = (max(np.floor(10 * low) / 10 if np.isfinite(low) else 0, 0), 1)
    axes.plot(ends, ends, color="0.8", lw=1, zorder=0)
    axes.set(title="Dice of held-out cases", xlabel="predicted", ylabel="true", xlim=ends, ylim=ends, aspect="equal")
    axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=1 + len(structures) // 9)


def _draw_risk(axes: Axes, curve: Mapping[str, Any]) -> None:
    axes.plot(curve["coverage"], curve["risk"], color=colour_of(1), lw=2, label=f"by predicted Dice: area {curve['area']:.3f}")
    axes.axhline(curve["random"], color=GREY, lw=1, ls="--", label=f"random order: {curve['random']:.3f}")
    axes.plot(curve["coverage"], curve["ideal_risk"], color=GREY, lw=1, ls=":", label=f"by true Dice: {curve['ideal']:.3f}")
    axes.set(title="Error of the cases that are kept", xlabel="share of cases, the most trusted first", ylabel="1 - mean Dice")
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
