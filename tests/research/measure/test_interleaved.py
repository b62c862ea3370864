"""Times taken in turns."""

import pytest

from scripts.research.measure import interleaved, interleaved_medians


def test_runs_take_turns_after_a_round_that_warms_up() -> None:
    order: list[str] = []
    interleaved_medians({"A": lambda: order.append("A"), "B": lambda: order.append("B")}, repeats=2)
    assert order == ["A", "B"] * 3


@pytest.mark.parametrize(("clock_name", "of_processor"), [("perf_counter", False), ("process_time", True)])
def test_the_median_of_the_rounds_that_count(monkeypatch: pytest.MonkeyPatch, clock_name: str, of_processor: bool) -> None:
    seconds = iter([100.0, 50.0, 3.0, 30.0, 1.0, 10.0, 2.0, 20.0])  # A, B; the first of each warms up
    clock = [0.0]

    def run() -> None:
        clock[0] += next(seconds)

    monkeypatch.setattr(interleaved.time, clock_name, lambda: clock[0])
    assert interleaved_medians({"A": run, "B": run}, repeats=3, of_processor=of_processor) == {"A": 2.0, "B": 20.0}
