"""One line an epoch: its metrics, whether it is the best, and how long the rest takes."""

import re

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, Workflow

from scripts.handlers import EpochLog, ValidationSchedule

LOSSES = [0.9, 0.7, 0.8, 0.6]
DICE = {2: 0.5, 4: 0.25}


class Finished(Workflow):
    """An engine whose key metric of an epoch is known."""

    def __init__(self, name: str, values: dict[int, float], max_epochs: int = 1) -> None:
        Workflow.__init__(self, torch.device("cpu"), max_epochs, data_loader=[0], epoch_length=1, decollate=False)
        self.state.key_metric_name = name
        self.add_event_handler(Events.EPOCH_COMPLETED, self._measure, values)

    def _measure(self, engine: Engine, values: dict[int, float]) -> None:
        self.state.metrics[self.state.key_metric_name] = values[engine.state.epoch]
        if self.state.best_metric_epoch == -1 or values[engine.state.epoch] > self.state.best_metric:
            self.state.best_metric, self.state.best_metric_epoch = values[engine.state.epoch], engine.state.epoch

    def _iteration(self, engine: Engine, batch: object) -> dict[str, object]:
        return {}


class Validator(Finished, Evaluator):
    """Runs as MONAI's evaluators do: one epoch, which has the number of the trainer's."""

    def run(self, global_epoch: int = 1) -> None:
        self.state.max_epochs, self.state.epoch, self.state.iteration = global_epoch, global_epoch - 1, 0
        Workflow.run(self)


@pytest.fixture
def trainer() -> Finished:
    return Finished("train_loss", dict(enumerate(LOSSES, 1)), max_epochs=len(LOSSES))


@pytest.fixture
def lines(trainer: Finished, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged of a training that is validated every second epoch."""
    validator = Validator("val_mean_dice", DICE)
    schedule = ValidationSchedule(interval=2)
    schedule.set_validator(validator)
    schedule.attach(trainer)
    EpochLog(validator).attach(trainer)
    with caplog.at_level("INFO", logger="scripts"):
        trainer.run()
    return [record.getMessage() for record in caplog.records if record.name.startswith("scripts")]


def test_every_epoch_has_one_line_with_its_loss_and_the_validation_of_this_epoch_only(lines: list[str]) -> None:
    assert [line.split(";")[0] for line in lines] == [
        "epoch 1 of 4: train_loss 0.9000",
        "epoch 2 of 4: train_loss 0.7000, val_mean_dice 0.5000 (best so far)",
        "epoch 3 of 4: train_loss 0.8000",
        "epoch 4 of 4: train_loss 0.6000, val_mean_dice 0.2500",
    ]


def test_the_line_ends_with_the_pace_and_the_time_left(lines: list[str]) -> None:
    assert all(re.search(r"; \d+\.\d s an epoch, \d:\d\d:\d\d left$", line) for line in lines)
    assert lines[-1].endswith("0:00:00 left")


def test_the_time_left_is_the_pace_of_this_run_times_the_epochs_that_remain(
    trainer: Finished, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed after epoch 2, whose two epochs took no time of this run."""
    clock = iter([1000.0, 1060.0, 1120.0])
    monkeypatch.setattr("scripts.handlers.epoch_log.time.monotonic", lambda: next(clock))
    trainer.state.epoch, trainer.state.iteration = 2, 2
    EpochLog(Validator("val_mean_dice", DICE)).attach(trainer)
    with caplog.at_level("INFO", logger="scripts"):
        trainer.run()
    assert [message.split("; ")[1] for message in caplog.messages if message.startswith("epoch ")] == [
        "60.0 s an epoch, 0:01:00 left",
        "60.0 s an epoch, 0:00:00 left",
    ]


def test_a_training_run_that_stops_early_says_so(trainer: Finished, caplog: pytest.LogCaptureFixture) -> None:
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=3), trainer.terminate)
    EpochLog(Validator("val_mean_dice", DICE)).attach(trainer)
    with caplog.at_level("INFO", logger="scripts"):
        trainer.run()
    lines = [message for message in caplog.messages if message.startswith("epoch ")]
    assert len(lines) == 3
    assert lines[-1].endswith("s an epoch, stopped early")
