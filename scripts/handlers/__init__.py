"""Ignite handlers of our own: seeding each epoch, checkpoints that resume exactly, stopping at the first NaN, freezing a part
at first, saying how long it will take, validating on time."""

from .before_training import BeforeTraining
from .checkpointing import Checkpointing
from .epoch_seed import EpochSeed
from .stop_on_nan import StopOnNaN
from .time_left import TimeLeft
from .two_stage import TwoStage, warm_up_and_cosine_twice
from .validation_schedule import ValidationSchedule

__all__ = [
    "BeforeTraining",
    "Checkpointing",
    "EpochSeed",
    "StopOnNaN",
    "TimeLeft",
    "TwoStage",
    "ValidationSchedule",
    "warm_up_and_cosine_twice",
]
