"""Crops a second are those of the whole epoch, without what comes after its last step."""

import itertools

import pytest
from ignite.engine import Engine, Events

from scripts.handlers import Throughput


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What ignite's timers read."""
    now = [0.0]
    monkeypatch.setattr("ignite.handlers.timing.perf_counter", lambda: now[0])
    return now


def test_all_crops_of_an_epoch_count_and_all_time_up_to_its_last_step(clock: list[float]) -> None:
    sizes, seconds = itertools.cycle([2, 2, 1]), itertools.chain([1.0, 2.0, 5.0], [0.5, 0.5, 0.25])

    def step(engine: Engine, batch: int) -> list[int]:
        clock[0] += next(seconds)
        return [0] * next(sizes)

    engine, found = Engine(step), []
    Throughput(output_transform=len).attach(engine, "crops_per_second")
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: found.append(engine.state.metrics["crops_per_second"]))

    @engine.on(Events.EPOCH_COMPLETED)
    def validate() -> None:
        clock[0] += 100

    engine.run([0, 1, 2], max_epochs=2)
    assert found == [pytest.approx(5 / 8), pytest.approx(5 / 1.25)]
