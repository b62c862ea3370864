"""Ignite handlers of our own: seeding each epoch, checkpoints that resume exactly, stopping at the first NaN, freezing a part
at first, averaging the weights, a line for each epoch, validating on time, what TensorBoard and MLflow show."""

from .before_training import BeforeTraining
from .checkpointing import Checkpointing
from .epoch_log import EpochLog
from .epoch_seed import EpochSeed
from .mlflow_run import MLflowRun, require_mlflow
from .model_ema import ModelEMA
from .purge_repeated import PurgeRepeated
from .run_folder import check_run_folder
from .stop_on_nan import StopOnNaN
from .throughput import Throughput
from .two_stage import TwoStage, warm_up_and_cosine_twice
from .validation_images import ValidationImages
from .validation_schedule import ValidationSchedule

__all__ = [
    "BeforeTraining",
    "Checkpointing",
    "EpochLog",
    "EpochSeed",
    "MLflowRun",
    "ModelEMA",
    "PurgeRepeated",
    "StopOnNaN",
    "Throughput",
    "TwoStage",
    "ValidationImages",
    "ValidationSchedule",
    "check_run_folder",
    "require_mlflow",
    "warm_up_and_cosine_twice",
]
