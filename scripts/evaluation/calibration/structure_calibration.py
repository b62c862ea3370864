"""What a checkpoint carries of a structure: how its Dice is predicted, and its volume."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .predicted_dice import DicePrediction
from .recalibration import Recalibration
from .volume_interval import VolumeInterval


@dataclass(frozen=True)
class StructureCalibration:
    """recalibration: of its probabilities after the temperature. dice: of what `told_dice` tells.

    always_there: whether every reference that it was fitted to shows the structure.
    """

    recalibration: Recalibration
    dice: DicePrediction
    volume: VolumeInterval
    always_there: bool

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> "StructureCalibration":
        dice, volume = DicePrediction(**saved["dice"]), VolumeInterval(**saved["volume"])
        return cls(Recalibration(**saved["recalibration"]), dice, volume, saved["always_there"])

    def as_dict(self) -> dict[str, Any]:
        parts = {"dice": self.dice.as_dict(), "volume": self.volume.as_dict(), "always_there": self.always_there}
        return {"recalibration": asdict(self.recalibration), **parts}

    def told(self, told: float) -> float:
        """0 of an empty mask of a structure that is always there."""
        return 0.0 if math.isnan(told) and self.always_there else told

    def judged(self, told: float) -> tuple[float, float, float]:
        """The Dice that is told without a reference -> the predicted one and its interval.

        An empty mask (NaN) of a structure that is always there is wrong: 0. Of another one nothing is known: NaN.
        """
        if math.isnan(told):
            return (0.0, 0.0, 0.0) if self.always_there else (math.nan, math.nan, math.nan)
        low, high = self.dice.interval(told)
        return float(self.dice.predict(told)), float(low), float(high)


def recalibrated(chances: np.ndarray, recalibrations: Iterable[Recalibration]) -> np.ndarray:
    """(N, S) -> (N, S), each structure by its own."""
    return np.stack([one(column) for one, column in zip(recalibrations, chances.T, strict=True)], -1)
