"""Ignite handlers of our own: seeding each epoch, checkpoints that resume exactly, stopping at the first NaN, freezing a part
at first, averaging the weights, a line for each epoch, validating on time."""

from .before_training import BeforeTraining
from .checkpointing import Checkpointing
from .epoch_log import EpochLog
from .epoch_seed import EpochSeed
from .model_ema import ModelEMA
from .run_folder import check_run_folder
from .stop_on_nan import StopOnNaN
from .two_stage import TwoStage, warm_up_and_cosine_twice
from .validation_schedule import ValidationSchedule

__all__ = [
    "BeforeTraining",
    "Checkpointing",
    "EpochLog",
    "EpochSeed",
    "ModelEMA",
    "StopOnNaN",
    "TwoStage",
    "ValidationSchedule",
    "check_run_folder",
    "warm_up_and_cosine_twice",
]
