"""Ignite handlers of our own: seeding each epoch, checkpoints that resume exactly, stopping at the first NaN, freezing a part
at first, a line for each epoch, validating on time."""

from .before_training import BeforeTraining
from .checkpointing import Checkpointing, require_free
from .epoch_log import EpochLog
from .epoch_seed import EpochSeed
from .stop_on_nan import StopOnNaN
from .two_stage import TwoStage, warm_up_and_cosine_twice
from .validation_schedule import ValidationSchedule

__all__ = [
    "BeforeTraining",
    "Checkpointing",
    "EpochLog",
    "EpochSeed",
    "StopOnNaN",
    "TwoStage",
    "ValidationSchedule",
    "require_free",
    "warm_up_and_cosine_twice",
]
