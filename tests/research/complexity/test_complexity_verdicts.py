"""Verdicts on claims, from curves that are known."""

from collections.abc import Callable

import pytest

from scripts.research.complexity.growth import Sweep
from scripts.research.complexity.systems import CONVOLUTION, ONE_LAYER
from scripts.research.complexity.verdicts import costs_more, measured

GRIDS = [(2, 2, depth) for depth in (4, 16, 64, 256, 1024)]
Time = Callable[[int], float]


def sweep(convolution: Time, attention: Time) -> Sweep:
    """Seconds as functions of T."""
    sizes = {
        str((h, w, d)): {"seconds": {CONVOLUTION: convolution(h * w * d), ONE_LAYER: attention(h * w * d)}} for h, w, d in GRIDS
    }
    return Sweep("D grows", GRIDS, sizes)


@pytest.mark.parametrize(
    ("exponents", "holds"),
    [
        ((1.0, 1.1), "yes"),
        ((1.0, 1.5), "in one of the two sweeps"),
        ((1.4, 1.5), "no: it grows faster"),
        ((0.5, 0.8), "no: it grows more slowly at these sizes"),
        ((0.5, 1.5), "no: faster in one sweep, slower in the other"),
    ],
)
def test_an_exponent_holds_where_both_sweeps_are_near_it(exponents: tuple[float, float], holds: str) -> None:
    found = [sweep(lambda tokens, b=exponent: tokens**b, float) for exponent in exponents]
    claim, words, verdict = measured("linear", found, "seconds", CONVOLUTION, 1)
    assert (claim, verdict) == ("linear", holds)
    assert all(f"T^{exponent:.2f}" in words for exponent in exponents)


def test_an_exponent_that_is_not_known_decides_nothing() -> None:
    found = [sweep(float, float), sweep(lambda tokens: tokens * (5 if tokens in (256, 4096) else 1), float)]
    assert measured("", found, "seconds", CONVOLUTION, 1)[2].startswith("undecided")


def test_only_the_upper_part_of_a_sweep_counts() -> None:
    found = [sweep(lambda tokens: max(tokens, 64), float)]  # flat at first
    assert measured("", found, "seconds", CONVOLUTION, 1)[2] == "yes"


@pytest.mark.parametrize(
    ("attention", "holds"),
    [
        (lambda tokens: tokens**2 / 1000, "only above T = 1,000"),
        (lambda tokens: tokens**2 / 10_000, "no, at these sizes"),
        (lambda tokens: 2 * tokens, "yes, at these sizes"),
    ],
)
def test_attention_costs_more_from_where_it_takes_longer(attention: Time, holds: str) -> None:
    assert costs_more(sweep(float, attention))[2] == holds
