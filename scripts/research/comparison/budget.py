"""What every network may spend -> the options of its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

PROBE_EPOCHS, PROBE_STEPS = 2, 4  # the first epoch warms up
SHORTEST, SHARE = 5.0, 0.1  # seconds, and share of the budget, that the second one should last
TOLERANCE = 0.25  # how far a training run may stray from its minutes unmentioned
Options = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """Either a number of epochs, the same for all, or minutes of training, whose number of steps a probe finds.

    Validation comes after the last epoch only, and on a single case: it is there to have `model.pt` written. No network gains
    by a choice among its epochs, and none stops early.
    """

    max_epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.max_epochs is None) == (self.minutes is None):
            raise ValueError("a budget is either max_epochs or minutes; give one of them")
        if any(amount is not None and amount <= 0 for amount in (self.max_epochs, self.minutes)):
            raise ValueError(f"a budget must be more than 0, got {self}")

    def __str__(self) -> str:
        return f"{self.minutes:g} min of training" if self.max_epochs is None else f"{self.max_epochs} epochs"

    def is_missed_by(self, minutes: float) -> bool:
        return self.minutes is not None and abs(minutes / self.minutes - 1) > TOLERANCE

    def longer_probe(self, probe: Mapping[str, Any]) -> int | None:
        """The steps of another probe, where this one was over so soon that its pace may be chance."""
        wanted = min(SHORTEST, SHARE * 60 * self.minutes) / seconds_a_step(probe)
        return ceil(wanted) if wanted > len(probe["epochs"][-1]["step_seconds"]) else None

    def options(self, probe: Mapping[str, Any] | None) -> Options:
        """probe: its cost.json; only minutes need one."""
        if self.max_epochs is not None:
            return _epochs(self.max_epochs)
        return steps_options(int(60 * self.minutes / seconds_a_step(probe)), probe["batches"])


def probe_options(steps: int = PROBE_STEPS) -> Options:
    return _of_length(PROBE_EPOCHS, steps)


def seconds_a_step(probe: Mapping[str, Any]) -> float:
    """Of the second epoch: the mean, and the share of what its first step lasts longer, which comes once an epoch."""
    first, *others = probe["epochs"][-1]["step_seconds"]
    pace = sum(others) / len(others)
    return pace + max(first - pace, 0) / probe["batches"]


def steps_options(steps: int, batches: int) -> Options:
    """Epochs of equal length, none longer than the data."""
    epochs = max(1, ceil(steps / batches))
    return _of_length(epochs, max(1, round(steps / epochs)))


def _of_length(epochs: int, steps: int) -> Options:
    return {**_epochs(epochs), "epoch_length": steps}


def _epochs(epochs: int) -> Options:
    return {"max_epochs": epochs, "val_interval": epochs, "validate#dataset#data": "$@cases['validation'][:1]"}
