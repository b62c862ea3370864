"""The picture of accuracy against cost."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from scripts.research.comparison.accuracy_plot import draw_accuracy
from scripts.research.comparison.compare_cases import Interval

ACCURACY = {"unet": Interval(0.7, 0.6, 0.75), "sam3d": Interval(0.9, 0.85, 0.95)}
COSTS = {"s a step": {"unet": 0.1, "sam3d": 40.0}, "GMAC": {"unet": 30.0, "sam3d": 50.0}}


def test_every_network_is_in_every_panel_under_its_rank_with_its_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **options: saved.append(figure) or save(figure, *args, **options)
    )
    draw_accuracy(ACCURACY, COSTS, "mean Dice", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = saved
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sam3d", "unet"]
    for axes, (quantity, costs) in zip(figure.axes, COSTS.items(), strict=True):
        assert (axes.get_xlabel(), axes.get_xscale()) == (quantity, "log")
        lines = [(line.get_marker(), list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
        for rank, network in enumerate(("sam3d", "unet"), 1):
            at, dice = costs[network], ACCURACY[network]
            assert ("None", [at, at], [dice.low, dice.high]) in lines
            assert (f"${rank}$", [at], [dice.value]) in lines
