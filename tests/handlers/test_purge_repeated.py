"""Curves of a run that was killed and resumed have every epoch once."""

from pathlib import Path

import pytest
from ignite.engine import Engine, Events
from monai.handlers import TensorBoardStatsHandler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.writer import SummaryWriter

from scripts.handlers import PurgeRepeated


def run(folder: Path, after: int, until: int, purge: bool, value: float) -> None:
    """The epochs after `after` up to `until`."""
    folder.mkdir(exist_ok=True)
    before = {*folder.iterdir()}
    writer = SummaryWriter(str(folder))
    engine = Engine(lambda engine, batch: None)
    if purge:
        PurgeRepeated(writer).attach(engine)
    engine.on(Events.EPOCH_COMPLETED)(lambda: engine.state.metrics.update(loss=value))
    TensorBoardStatsHandler(writer, iteration_log=False).attach(engine)
    engine.load_state_dict({"epoch": after, "max_epochs": until, "epoch_length": 1})
    engine.run([0])
    writer.close()
    for path in {*folder.iterdir()} - before:  # files are read by name, which begins with the second in which they were made
        path.rename(folder / f"{len(before):02d}.{path.name}")


def curve(folder: Path) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in EventAccumulator(str(folder)).Reload().Scalars("loss")]


@pytest.mark.parametrize("purge", [True, False])
def test_what_was_written_of_a_repeated_epoch_is_hidden(tmp_path: Path, purge: bool) -> None:
    run(tmp_path, after=0, until=4, purge=purge, value=1)
    run(tmp_path, after=2, until=5, purge=purge, value=2)  # last.pt was of epoch 2
    once = [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]
    twice = [(1, 1), (2, 1), (3, 1), (4, 1), (3, 2), (4, 2), (5, 2)]
    assert curve(tmp_path) == (once if purge else twice)


def test_a_run_that_starts_again_hides_all_that_was_there(tmp_path: Path) -> None:
    """Killed in its first epoch, so that there was nothing to resume."""
    run(tmp_path, after=0, until=1, purge=True, value=1)
    run(tmp_path, after=0, until=2, purge=True, value=2)
    assert curve(tmp_path) == [(1, 2), (2, 2)]
