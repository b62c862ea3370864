"""Out-of-fold cases -> the calibration of a network, and how well it holds on cases that it was not fitted to."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from .conformal import COVERAGE
from .cross_fit import cross_fit
from .expected_dice import expected_dice, expected_voxels
from .predicted_dice import fit_dice_prediction
from .reliability import calibration_error, reliability, uniformly_drawn
from .risk_coverage import flagged, risk_coverage
from .sampled_case import SampledCase, members
from .structure_calibration import StructureCalibration
from .temperature import fit_temperature, negative_log_likelihood, probabilities
from .volume_interval import fit_volume_interval

IN_DOUBT = 0.01  # a voxel is, if some structure's probability before the temperature is this far from 0 and from 1
FLAGGED_BELOW = (0.7, 0.8, 0.9)


class Calibration(NamedTuple):
    """temperature: for all channels, or one for each. structures: what a checkpoint carries. report: what is measured."""

    temperature: float | list[float]
    structures: list[StructureCalibration]
    report: dict[str, Any]


class _Judged(NamedTuple):
    """(n, S) each: of cases that nothing was fitted to."""

    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    volume_low: np.ndarray
    volume_high: np.ndarray


def calibrate_cases(
    cases: Sequence[SampledCase],
    parts: np.ndarray,
    structures: Mapping[str, Sequence[int]],
    regions: bool,
    coverage: float = COVERAGE,
) -> Calibration:
    """Fits temperature, predicted Dice and volume intervals; all that is reported is measured on parts that were held out.

    One temperature for all channels, or with regions one for each, where the references of the parts that were held out are
    likelier by it. The classes of a softmax always have one: several would move the borders of the masks that were measured.

    Args:
        cases: with masks of networks that were not trained on them.
        parts: (n,), of each case: of folds the fold.
        structures: name -> class numbers.
        regions: whether each structure is a channel of the network by itself.
        coverage: the share of new cases that intervals are to hold.

    Raises:
        ValueError: for fewer than two parts, and where no case is annotated for all structures.
    """
    if len(np.unique(parts)) < 2:
        raise ValueError(
            f"a calibration is measured on cases that it was not fitted to, which takes two cases, got {len(cases)}"
        )
    if not all(any(case.annotated for case, part in zip(cases, parts, strict=True) if part != held_out) for held_out in parts):
        raise ValueError("a temperature takes cases that are annotated for all structures, and there are too few")
    fitting = _Fitting(cases, parts, [*structures.values()], regions, coverage)
    likelihoods = fitting.likelihoods()
    fitting.each = regions and likelihoods["one_for_each"] < likelihoods["one"]
    temperature = fitting.temperature(np.ones(len(cases), bool))
    judged = fitting.judged()
    report = {
        "cases": len(cases),
        "parts": len(np.unique(parts)),
        "coverage": coverage,
        "temperature": {
            "value": _one_or_list(temperature),
            "negative_log_likelihood": {name: round(value, 6) for name, value in likelihoods.items()},
        },
        **fitting.calibration_errors([*structures]),
        "structures": {name: _measured(number, judged, fitting, coverage) for number, name in enumerate(structures)},
        **_of_cases(judged, fitting.dice),
        "by_case": [
            {
                "case": case.name,
                "part": int(part),
                "dice": _listed(case.dice),
                "predicted_dice": _listed(predicted),
            }
            for case, part, predicted in zip(cases, parts, judged.predicted, strict=True)
        ],
    }
    return Calibration(_one_or_list(temperature), fitting.structures(np.ones(len(cases), bool), temperature), report)


class _Fitting:
    """The cases and what is computed of them, for any choice of those that are fitted to: (n,) of bool, `known`."""

    def __init__(
        self, cases: Sequence[SampledCase], parts: np.ndarray, structures: list[Sequence[int]], regions: bool, coverage: float
    ) -> None:
        self.cases, self.parts, self.channels, self.regions, self.coverage = cases, parts, structures, regions, coverage
        self.each = False
        self.dice = np.stack([case.dice for case in cases])
        self.reference = np.stack([case.voxels_reference for case in cases])

    def temperature(self, known: np.ndarray) -> list[float]:
        return [round(one, 6) for one in fit_temperature(self._chosen(known), self.channels, self.regions, self.each)]

    def likelihoods(self) -> dict[str, float]:
        """Negative, per voxel of parts that were held out: without a temperature, with one, and with one for each channel."""
        found = {"none": [], "one": [], "one_for_each": []}
        for part in np.unique(self.parts):
            held_out = self._chosen(self.parts == part)
            if not any(case.annotated for case in held_out):
                continue
            known = self._chosen(self.parts != part)
            one, each = (fit_temperature(known, self.channels, self.regions, each) for each in (False, True))
            for name, temperature in zip(found, (1.0, one, each), strict=True):
                found[name].append(negative_log_likelihood(held_out, self.channels, self.regions, temperature))
        return {name: fmean(values) for name, values in found.items()}

    def structures(self, known: np.ndarray, temperature: Sequence[float]) -> list[StructureCalibration]:
        dice, volume = self._expected(temperature)
        return [self._structure(known, number, dice[:, number], volume[:, number]) for number in range(len(self.channels))]

    def _structure(self, known: np.ndarray, number: int, dice: np.ndarray, volume: np.ndarray) -> StructureCalibration:
        measured = known & np.isfinite(dice) & np.isfinite(self.dice[:, number])
        annotated = known & np.isfinite(self.reference[:, number])
        return StructureCalibration(
            fit_dice_prediction(dice[measured], self.dice[measured, number], self.coverage),
            fit_volume_interval(volume[annotated], self.reference[annotated, number], self.coverage),
            bool(annotated.any() and (self.reference[annotated, number] > 0).all()),
        )

    def judged(self) -> _Judged:
        def judge(fitted: tuple[list[float], list[StructureCalibration]], held_out: np.ndarray) -> np.ndarray:
            temperature, structures = fitted
            dice, volume = (values[held_out] for values in self._expected(temperature))
            columns = [
                np.concatenate(
                    [
                        [structure.judged(value) for value in dice[:, number]],
                        structure.volume.interval(volume[:, number]),
                    ],
                    -1,
                )
                for number, structure in enumerate(structures)
            ]
            return np.stack(columns, 1)  # (cases, S, 5)

        def fit(known: np.ndarray) -> tuple[list[float], list[StructureCalibration]]:
            temperature = self.temperature(known)
            return temperature, self.structures(known, temperature)

        return _Judged(*np.moveaxis(cross_fit(self.parts, fit, judge), -1, 0))

    def calibration_errors(self, names: list[str]) -> dict[str, Any]:
        """Before and after, of all voxels and of those in doubt, and the reliability of the latter."""
        before, after, references = [], [], []
        for part in np.unique(self.parts):
            temperature = self.temperature(self.parts != part)
            for case in self._chosen(self.parts == part):
                if case.annotated:
                    drawn = uniformly_drawn(case.weights)
                    before.append(probabilities(case.logits[drawn], self.channels, self.regions))
                    after.append(probabilities(case.logits[drawn], self.channels, self.regions, temperature))
                    references.append(members(case.reference[drawn], self.channels))
        chances = {"before": np.concatenate(before), "after": np.concatenate(after)}
        reference = np.concatenate(references)
        doubted = (np.minimum(chances["before"], 1 - chances["before"]) >= IN_DOUBT).any(1)
        found: dict[str, Any] = {"calibration_error": {}, "reliability": {}}
        for voxels, chosen in (("all", np.ones(len(reference), bool)), ("in_doubt", doubted)):
            if chosen.any():
                found["calibration_error"][voxels] = {"share": round(float(chosen.mean()), 6)}
                for when, values in chances.items():
                    errors = calibration_error(values[chosen], reference[chosen])
                    found["calibration_error"][voxels][when] = {
                        "mean": round(fmean(errors), 6),
                        **dict(zip(names, errors, strict=True)),
                    }
        for when, values in chances.items():
            found["reliability"][when] = reliability(values, reference)
        return found

    def _expected(self, temperature: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """(n, S): Dice and voxels."""
        found = []
        for case in self.cases:
            chances = probabilities(case.logits, self.channels, self.regions, temperature)
            inside = members(case.mask, self.channels)
            found.append((expected_dice(chances, inside, case.weights), expected_voxels(chances, case.weights)))
        dice, voxels = zip(*found, strict=True)
        return np.stack(dice), np.stack(voxels)

    def _chosen(self, known: np.ndarray) -> list[SampledCase]:
        return [case for case, is_known in zip(self.cases, known, strict=True) if is_known]


def _measured(number: int, judged: _Judged, fitting: _Fitting, coverage: float) -> dict[str, Any]:
    """Of a structure, over the cases that have it."""
    dice, predicted = fitting.dice[:, number], judged.predicted[:, number]
    both = np.isfinite(dice) & np.isfinite(predicted)
    reference = fitting.reference[:, number]
    there = reference > 0  # not where nobody annotated it
    held = (judged.low <= fitting.dice) & (fitting.dice <= judged.high)
    volume_held = (judged.volume_low <= fitting.reference) & (fitting.reference <= judged.volume_high)
    ratio = judged.volume_high[there, number] / judged.volume_low[there, number]
    return {
        "dice": {
            "cases": int(both.sum()),
            "spearman": _spearman(predicted[both], dice[both]),
            "mean_absolute_error": _rounded(np.abs(predicted - dice)[both].mean() if both.any() else math.nan),
            "mean_width": _rounded((judged.high - judged.low)[both, number].mean() if both.any() else math.nan),
            "coverage": _rounded(held[both, number].mean() if both.any() else math.nan),
        },
        "volume": {
            "cases": int(there.sum()),
            "absent": int((reference == 0).sum()),
            "high_over_low": _rounded(float(np.median(ratio)) if there.any() else math.nan),
            "coverage": _rounded(volume_held[there, number].mean() if there.any() else math.nan),
        },
    }


def _of_cases(judged: _Judged, dice: np.ndarray) -> dict[str, Any]:
    """Of the mean over structures of each case that has any."""
    measured = np.where(np.isfinite(dice) & np.isfinite(judged.predicted), dice, np.nan)
    predicted = np.where(np.isfinite(measured), judged.predicted, np.nan)
    known = np.isfinite(measured).any(1)
    means, of_dice = (np.nanmean(values[known], 1) for values in (predicted, measured))
    return {
        "mean_dice": {"cases": int(known.sum()), "spearman": _spearman(means, of_dice)},
        "risk_coverage": risk_coverage(means, of_dice) if known.any() else None,
        "flagged": [flagged(judged.predicted, dice, below) for below in FLAGGED_BELOW],
    }


def _spearman(predicted: np.ndarray, dice: np.ndarray) -> float | None:
    if len(dice) < 3 or np.ptp(predicted) == 0 or np.ptp(dice) == 0:
        return None
    return _rounded(float(spearmanr(predicted, dice).statistic))


def _rounded(value: float) -> float | None:
    """As JSON has it."""
    return round(float(value), 6) if math.isfinite(value) else None


def _listed(values: np.ndarray) -> list[float | None]:
    return [_rounded(value) for value in values]


def _one_or_list(temperature: list[float]) -> float | list[float]:
    return temperature[0] if len(temperature) == 1 else temperature
