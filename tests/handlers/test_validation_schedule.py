"""Every training is validated at its end, also one shorter than the interval."""

import pytest
from ignite.engine import Engine
from monai.engines import Evaluator

from scripts.handlers import ValidationSchedule


class Validator(Evaluator):
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def run(self, global_epoch: int = 1) -> None:
        self.epochs.append(global_epoch)


@pytest.mark.parametrize(
    ("interval", "max_epochs", "expected"), [(2, 5, [2, 4, 5]), (2, 4, [2, 4]), (5, 1, [1]), (1, 3, [1, 2, 3])]
)
def test_validates_at_every_interval_and_after_the_last_epoch(interval: int, max_epochs: int, expected: list[int]) -> None:
    validator, trainer = Validator(), Engine(lambda engine, batch: None)
    schedule = ValidationSchedule(interval)
    schedule.set_validator(validator)
    schedule.attach(trainer)
    trainer.run([0], max_epochs=max_epochs)
    assert validator.epochs == expected
