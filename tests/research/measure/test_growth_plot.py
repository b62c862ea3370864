"""The pictures of growth."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from scripts.research.measure import Curve, draw_comparison, draw_growth, fit_growth


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written."""
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **options: figures.append(figure) or save(figure, *args, **options)
    )
    return figures


def test_every_quantity_has_a_panel_with_units_and_logarithmic_axes(tmp_path: Path, saved: list[Figure]) -> None:
    measured = {"time, s": [1.0, 2.5], "peak memory, MB": [10.0, 11.0]}
    draw_growth("Forward", "slices D", [32, 128], measured, tmp_path / "plots" / "growth.png")
    assert (tmp_path / "plots" / "growth.png").read_bytes().startswith(b"\x89PNG")
    for axes, (quantity, values) in zip(saved[0].axes, measured.items(), strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("slices D", quantity)
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        points, proportion = axes.lines
        assert list(points.get_ydata()) == values
        assert list(proportion.get_ydata()) == [values[0], 4 * values[0]]


def test_a_comparison_has_curves_fits_and_crossings_in_panels(tmp_path: Path, saved: list[Figure]) -> None:
    sizes = [1, 10, 100]
    square = Curve(sizes, [2.0, 200.0, 20000.0], fit_growth(sizes, [2.0, 200.0, 20000.0]))
    line = Curve(sizes, [4.0, 40.0, 400.0])
    panels = {"D grows": {"attention": square, "convolution": line}, "h x w grows": {"convolution": line}}
    draw_comparison("Time", "tokens T", "time, s", panels, {"D grows": 2.0}, tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    first, second = saved[0].axes
    assert [(axes.get_title(), axes.get_xlabel(), axes.get_xscale(), axes.get_yscale()) for axes in (first, second)] == [
        (name, "tokens T", "log", "log") for name in panels
    ]
    measured, fit, other, crossing = first.lines
    assert list(measured.get_ydata()) == square.values
    assert list(fit.get_xdata()) == [1, 100] and list(fit.get_ydata()) == pytest.approx([2, 20000])
    assert fit.get_color() == measured.get_color() != other.get_color()
    assert list(crossing.get_xdata()) == [2, 2] and first.texts[0].get_text() == "crossing: 2"
    assert len(second.lines) == 1 and second.lines[0].get_color() == other.get_color()
    assert [text.get_text() for text in saved[0].legends[0].texts] == ["attention", "convolution"]
