"""Times taken in turns."""

from scripts.research.measure import interleaved_medians


def test_runs_take_turns_after_a_round_that_warms_up() -> None:
    order: list[str] = []
    interleaved_medians({"A": lambda: order.append("A"), "B": lambda: order.append("B")}, repeats=2)
    assert order == ["A", "B"] * 3


def test_the_median_of_the_rounds_that_count() -> None:
    seconds = iter([100.0, 50.0, 3.0, 30.0, 1.0, 10.0, 2.0, 20.0])  # A, B; the first of each warms up
    clock = [0.0]

    def run() -> None:
        clock[0] += next(seconds)

    assert interleaved_medians({"A": run, "B": run}, repeats=3, clock=lambda: clock[0]) == {"A": 2.0, "B": 20.0}
