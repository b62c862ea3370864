"""Exponents and crossings of curves whose exponents and crossings are known."""

import numpy as np
import pytest

from scripts.research.measure import crossing, fit_growth

SIZES = [100, 200, 400, 800, 1600]


@pytest.mark.parametrize("exponent", [0, 1, 2, -0.5])
def test_a_power_is_found_with_no_spread(exponent: float) -> None:
    growth = fit_growth(SIZES, [3 * size**exponent for size in SIZES])
    assert (growth.exponent, growth.factor) == pytest.approx((exponent, 3))
    assert growth.high - growth.low == pytest.approx(0, abs=1e-6)
    assert growth.at(50) == pytest.approx(3 * 50**exponent)
    assert (growth.first, growth.last, growth.points) == (100, 1600, 5)


def test_the_interval_of_a_textbook_regression() -> None:
    """x = ln size = 1..5, y = ln value = 2, 4, 5, 4, 5: slope 0.6, its standard error sqrt(2.4 / 3 / 10), t(3) = 3.182."""
    growth = fit_growth(np.exp([1, 2, 3, 4, 5]), np.exp([2, 4, 5, 4, 5]))
    half = 3.182446 * (2.4 / 3 / 10) ** 0.5
    assert (growth.exponent, growth.low, growth.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half), rel=1e-6)
    assert str(growth) == "0.60 (-0.30 to 1.50)"


def test_the_interval_holds_the_exponent_about_as_often_as_it_says() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1000, len(SIZES)))
    fits = [fit_growth(SIZES, np.array(SIZES) ** 1.5 * np.exp(row)) for row in noise]
    assert np.mean([fit.low <= 1.5 <= fit.high for fit in fits]) == pytest.approx(0.95, abs=0.02)


def test_an_exponent_of_two_sizes_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"three sizes or more, got \[1, 2\]; measure more"):
        fit_growth([1, 2, 2], [1.0, 2.0, 2.1])


def test_powers_cross_where_they_are_equal() -> None:
    """size^2 and 300 size cross at 300, between two sizes."""
    assert crossing(SIZES, [size**2 for size in SIZES], [300 * size for size in SIZES]) == pytest.approx(300)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1, 1, 1, 1], None),
        ([3, 3, 3, 3, 3], 100),
        ([3, 3, 3, 3, 1], None),
        ([3, 1, 1, 2, 4], 800),
        ([3, 1, 4, 1, 4], 1131.4),
    ],
    ids=["never", "always", "not at the end", "where equal", "the last time"],
)
def test_what_counts_is_being_above_from_there_on(values: list[float], expected: float | None) -> None:
    found = crossing(SIZES, values, [2, 2, 2, 2, 2])
    assert found == (expected if expected is None else pytest.approx(expected, rel=1e-4))
