"""What every network may spend -> the options of its training."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
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

    pace: file of `read_pace`; the minutes are then those of the machine that it was measured on.
    """

    max_epochs: int | None = None
    minutes: float | None = None
    pace: Path | None = None

    def __post_init__(self) -> None:
        if (self.max_epochs is None) == (self.minutes is None):
            raise ValueError("a budget is either max_epochs or minutes; give one of them")
        if any(amount is not None and amount <= 0 for amount in (self.max_epochs, self.minutes)):
            raise ValueError(f"a budget must be more than 0, got {self}")
        if self.pace is not None and self.minutes is None:
            raise ValueError("a pace turns minutes into steps; give minutes with it")

    def __str__(self) -> str:
        if self.max_epochs is not None:
            return f"{self.max_epochs} epochs"
        return f"{self.minutes:g} min of training" + (f" at the pace of {self.pace.name}" if self.pace else "")

    def is_missed_by(self, minutes: float) -> bool:
        return self.minutes is not None and self.pace is None and abs(minutes / self.minutes - 1) > TOLERANCE

    def longer_probe(self, probe: Mapping[str, Any]) -> int | None:
        """The steps of another probe, where this one was over so soon that its pace may be chance."""
        assert self.minutes is not None  # else nothing is probed
        if self.pace is not None:
            return None
        wanted = min(SHORTEST, SHARE * 60 * self.minutes) / seconds_a_step(probe)
        return ceil(wanted) if wanted > len(probe["epochs"][-1]["step_seconds"]) else None

    def options(self, probe: Mapping[str, Any] | None, network: str) -> Options:
        """probe: its cost.json; only minutes need one. Raises ValueError for a network whose pace the file does not have."""
        if self.max_epochs is not None:
            return _epochs(self.max_epochs)
        assert self.minutes is not None and probe is not None
        pace = seconds_a_step(probe) if self.pace is None else read_pace(self.pace, network)
        return steps_options(int(60 * self.minutes / pace), probe["batches"])


def read_pace(path: Path, network: str) -> float:
    """Seconds a step of a network: a `comparison.csv`, or another table with the columns `network` and `step_seconds`.

    Raises ValueError for a file that does not have the network.
    """
    with path.open(newline="") as file:
        paces = {row.get("network"): row.get("step_seconds") for row in csv.DictReader(file)}
    if not paces.get(network):
        raise ValueError(
            f"{path} has no pace of {network}: it needs the columns network and step_seconds, as the comparison.csv of another "
            f"comparison; it has {', '.join(name for name in paces if name) or 'no network'}"
        )
    return float(str(paces[network]))


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
