"""The picture of growth."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from scripts.benchmarks import draw_growth


def test_every_quantity_has_a_panel_with_units_and_logarithmic_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **options: saved.append(figure) or save(figure, *args, **options)
    )
    measured = {"time, s": [1.0, 2.5], "peak memory, MB": [10.0, 11.0]}
    draw_growth("Forward", "slices D", [32, 128], measured, tmp_path / "plots" / "growth.png")
    assert (tmp_path / "plots" / "growth.png").read_bytes().startswith(b"\x89PNG")
    for axes, (quantity, values) in zip(saved[0].axes, measured.items(), strict=True):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("slices D", quantity)
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        points, proportion = axes.lines
        assert list(points.get_ydata()) == values
        assert list(proportion.get_ydata()) == [values[0], 4 * values[0]]
