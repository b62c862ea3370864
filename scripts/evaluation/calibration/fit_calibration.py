"""Cases -> the calibration of a network; the calibration and other cases -> what it says of their masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .expected_dice import expected_voxels
from .predicted_dice import fit_dice_prediction
from .recalibration import Recalibration, fit_recalibration
from .sampled_case import SampledCase, members
from .structure_calibration import StructureCalibration, recalibrated
from .temperature import fit_temperature, probabilities
from .told_dice import OF_ENSEMBLE, OF_NETWORK, Judgement, told_dice
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
    """(n, S) each. told: the Dice that `predicted` rises with, the same for every fit where nothing was fitted to tell it."""

    told: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    volume_low: np.ndarray  # voxels
    volume_high: np.ndarray


def fit_calibration(cases: Sequence[SampledCase], channels: Channels, coverage: float) -> Fitted:
    """In order: the temperature, what it leaves over of each structure, then Dice and volume by what these tell."""
    temperature = [round(one, 6) for one in fit_temperature(cases, *channels)]
    chances = [_chances(case, channels, temperature) for case in cases]
    sizes = np.stack([case.voxels_reference for case in cases])
    recalibrations = [
        _recalibration(cases, chances, channels, number, ~np.isnan(sizes[:, number])) for number in range(sizes.shape[1])
    ]
    dice, volume = _told(cases, chances, recalibrations, channels)
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
    """(n, S, 6), in the order of `Judged`."""
    chances = [_chances(case, channels, fitted.temperature) for case in cases]
    recalibrations = [structure.recalibration for structure in fitted.structures]
    told = zip(*(values.T for values in _told(cases, chances, recalibrations, channels)), strict=True)
    columns = [
        np.concatenate([[(structure.told(one), *structure.judged(one)) for one in dice], structure.volume.interval(volume)], -1)
        for structure, (dice, volume) in zip(fitted.structures, told, strict=True)
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


def told_by(cases: Sequence[SampledCase]) -> tuple[str, ...]:
    """The signs by which their Dice is told."""
    return OF_NETWORK if any(case.disagreement is None for case in cases) else OF_ENSEMBLE


def _told(
    cases: Sequence[SampledCase], chances: Sequence[np.ndarray], recalibrations: Sequence[Recalibration], channels: Channels
) -> tuple[np.ndarray, np.ndarray]:
    """(n, S): the Dice that is told without a reference, and the voxels to expect."""
    dice, voxels, by = [], [], told_by(cases)
    for case, found in zip(cases, chances, strict=True):
        likely = recalibrated(found, recalibrations)
        mask = members(case.mask, channels.structures)
        judged = Judgement(likely, case.logits, mask, case.weights, case.disagreement)
        dice.append(told_dice(by, judged, channels.structures, channels.regions))
        voxels.append(expected_voxels(likely, case.weights))
    return np.stack(dice), np.stack(voxels)
