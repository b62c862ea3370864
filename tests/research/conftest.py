"""The laboratory's tests run, and kill, the documented commands too."""

from faults.conftest import left_alone, start, train
from runs.conftest import bundle_run, environment, trained

__all__ = ["bundle_run", "environment", "left_alone", "start", "train", "trained"]
