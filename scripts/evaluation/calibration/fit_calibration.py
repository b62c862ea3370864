"""Cases -> the calibration of a network; the calibration and other cases -> what it says of their masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .expected_dice import expected_dice, expected_voxels
from .predicted_dice import fit_dice_prediction
from .recalibration import Recalibration, fit_recalibration
from .sampled_case import SampledCase, members
from .structure_calibration import StructureCalibration, recalibrated
from .temperature import fit_temperature, probabilities
from .volume_interval import fit_volume_interval


class Channels(NamedTuple):
    """structures: class numbers of each. regions: whether each is a channel of the network by itself.

    each: whether each channel has a temperature of its own.
    """

    structures: list[Sequence[int]]
    regions: bool
    each: bool = False


class Fitted(NamedTuple):
    """temperature: one number, or one for each channel. structures: in their order."""

    temperature: list[float]
    structures: list[StructureCalibration]


class Judged(NamedTuple):
    """(n, S) each."""

    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    volume_low: np.ndarray  # voxels
    volume_high: np.ndarray


def fit_calibration(cases: Sequence[SampledCase], channels: Channels, coverage: float) -> Fitted:
    """In order: the temperature, what it leaves over of each structure, then Dice and volume by what is then expected."""
    temperature = [round(one, 6) for one in fit_temperature(cases, *channels)]
    chances = [_chances(case, channels, temperature) for case in cases]
    sizes = np.stack([case.voxels_reference for case in cases])
    recalibrations = [
        _recalibration(cases, chances, channels, number, ~np.isnan(sizes[:, number])) for number in range(sizes.shape[1])
    ]
    dice, volume = _expected(cases, chances, recalibrations, channels)
    true = np.stack([case.dice for case in cases])
    structures = []
    for number, recalibration in enumerate(recalibrations):
        measured = np.isfinite(dice[:, number]) & np.isfinite(true[:, number])
        size = sizes[~np.isnan(sizes[:, number]), number]
        structures.append(
            StructureCalibration(
                recalibration,
                fit_dice_prediction(dice[measured, number], true[measured, number], coverage),
                fit_volume_interval(volume[~np.isnan(sizes[:, number]), number], size, coverage),
                always_there=bool(len(size)) and bool((size > 0).all()),
            )
        )
    return Fitted(temperature, structures)


def judge(fitted: Fitted, cases: Sequence[SampledCase], channels: Channels) -> np.ndarray:
    """(n, S, 5), in the order of `Judged`."""
    chances = [_chances(case, channels, fitted.temperature) for case in cases]
    recalibrations = [structure.recalibration for structure in fitted.structures]
    expected = zip(*(values.T for values in _expected(cases, chances, recalibrations, channels)), strict=True)
    columns = [
        np.concatenate([[structure.judged(one) for one in dice], structure.volume.interval(volume)], -1)
        for structure, (dice, volume) in zip(fitted.structures, expected, strict=True)
    ]
    return np.stack(columns, 1)


def _chances(case: SampledCase, channels: Channels, temperature: Sequence[float]) -> np.ndarray:
    return probabilities(case.logits, channels.structures, channels.regions, temperature)


def _recalibration(
    cases: Sequence[SampledCase], chances: Sequence[np.ndarray], channels: Channels, number: int, annotated: np.ndarray
) -> Recalibration:
    """Each case counts alike."""
    if not annotated.any():
        return Recalibration([0.0, 1.0], [0.0, 1.0])
    known = [(case, found[:, number]) for case, found, told in zip(cases, chances, annotated, strict=True) if told]
    return fit_recalibration(
        np.concatenate([found for _, found in known]),
        np.concatenate([np.isin(case.reference, list(channels.structures[number])) for case, _ in known]),
        np.concatenate([case.weights / case.weights.sum() for case, _ in known]),
    )


def _expected(
    cases: Sequence[SampledCase], chances: Sequence[np.ndarray], recalibrations: Sequence[Recalibration], channels: Channels
) -> tuple[np.ndarray, np.ndarray]:
    """(n, S): Dice, and voxels."""
    dice, voxels = [], []
    for case, found in zip(cases, chances, strict=True):
        likely = recalibrated(found, recalibrations)
        dice.append(expected_dice(likely, members(case.mask, channels.structures), case.weights))
        voxels.append(expected_voxels(likely, case.weights))
    return np.stack(dice), np.stack(voxels)
