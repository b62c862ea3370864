"""Out-of-fold cases -> the calibration of a network, and how well it holds on cases that it was not fitted to."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from .conformal import COVERAGE
from .cross_fit import cross_fit
from .fit_calibration import Channels, Fitted, Judged, fit_calibration, judge
from .reliability import calibration_error, reliability, uniformly_drawn
from .risk_coverage import flagged, risk_coverage
from .sampled_case import SampledCase, members
from .temperature import fit_temperature, near_structures, negative_log_likelihood, probabilities

DIGITS = 6
DRAWS, SEED = 1000, 0  # of the bootstrap
FLAGGED_BELOW = (0.7, 0.8, 0.9)


class Calibration(NamedTuple):
    """fitted: to all cases, what a checkpoint carries. report: what was measured on cases that were held out."""

    fitted: Fitted
    report: dict[str, Any]


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
        ValueError: for fewer than two parts, and where too few cases are annotated for all structures.
    """
    if len(np.unique(parts)) < 2:
        raise ValueError(f"a calibration is measured on cases that it was not fitted to, which takes two, got {len(cases)}")
    known = [_chosen(cases, parts != part) for part in np.unique(parts)]
    if not all(any(case.annotated for case in others) for others in known):
        raise ValueError("a temperature takes cases that are annotated for all structures, and there are too few")
    channels = Channels([*structures.values()], regions)
    likelihoods = _likelihoods(cases, parts, channels)
    channels = channels._replace(each=regions and likelihoods["one_for_each"] < likelihoods["one"])
    fits = {part: fit_calibration(others, channels, coverage) for part, others in zip(np.unique(parts), known, strict=True)}
    judged = Judged(
        *np.moveaxis(
            cross_fit(
                parts,
                lambda known: fits[parts[~known][0]],
                lambda fitted, part: judge(fitted, _chosen(cases, part), channels),
            ),
            -1,
            0,
        )
    )
    fitted = fit_calibration(cases, channels, coverage)
    dice = np.stack([case.dice for case in cases])
    report = {
        "cases": len(cases),
        "parts": len(fits),
        "coverage": coverage,
        "temperature": {"value": fitted.temperature, "negative_log_likelihood": likelihoods},
        **_calibration_errors(cases, parts, fits, channels, [*structures]),
        "structures": {name: _measured(cases, judged, number) for number, name in enumerate(structures)},
        **_of_cases(judged, dice),
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
    return Calibration(fitted, report)


def _chosen(cases: Sequence[SampledCase], chosen: np.ndarray) -> list[SampledCase]:
    return [case for case, is_chosen in zip(cases, chosen, strict=True) if is_chosen]


def _likelihoods(cases: Sequence[SampledCase], parts: np.ndarray, channels: Channels) -> dict[str, float]:
    """Negative, per voxel near structures of parts that were held out: with no temperature, with one, with one for each."""
    found: dict[str, list[float]] = {"none": [], "one": [], "one_for_each": []}
    for part in np.unique(parts):
        held_out, known = _chosen(cases, parts == part), _chosen(cases, parts != part)
        if any(case.annotated for case in held_out):
            fits = [[1.0], *(fit_temperature(known, *channels._replace(each=each)) for each in (False, True))]
            for losses, temperature in zip(found.values(), fits, strict=True):
                losses.append(negative_log_likelihood(held_out, channels.structures, channels.regions, temperature))
    return {name: round(fmean(losses), 6) for name, losses in found.items()}


def _calibration_errors(
    cases: Sequence[SampledCase], parts: np.ndarray, fits: Mapping[int, Fitted], channels: Channels, names: list[str]
) -> dict[str, Any]:
    """Before and after the temperature, of all voxels and of those near structures; and the reliability of the latter."""
    drawn: dict[str, list[np.ndarray]] = {"before": [], "after": [], "near": [], "reference": []}
    for case, part in zip(cases, parts, strict=True):
        if case.annotated:
            chosen = uniformly_drawn(case.weights)
            logits = case.logits[chosen]
            for when, temperature in (("before", 1.0), ("after", fits[part].temperature)):
                drawn[when].append(probabilities(logits, channels.structures, channels.regions, temperature))
            drawn["near"].append(near_structures(logits, channels.structures, channels.regions))
            drawn["reference"].append(members(case.reference[chosen], channels.structures))
    voxels = {key: np.concatenate(values) for key, values in drawn.items()}
    errors, lines = {}, {}
    for where, chosen in (("all", np.ones_like(voxels["near"])), ("near", voxels["near"])):
        errors[where] = {"share": round(float(chosen.mean()), DIGITS)}
        for when in ("before", "after"):
            found = calibration_error(voxels[when][chosen], voxels["reference"][chosen])
            errors[where][when] = {"mean": round(fmean(found), DIGITS), **dict(zip(names, found, strict=True))}
    for when in ("before", "after"):
        lines[when] = reliability(voxels[when][voxels["near"]], voxels["reference"][voxels["near"]])
    return {"calibration_error": errors, "reliability": lines}


def _measured(cases: Sequence[SampledCase], judged: Judged, number: int) -> dict[str, Any]:
    """Of a structure, over the cases that have it."""
    dice = np.array([case.dice[number] for case in cases])
    reference = np.array([case.voxels_reference[number] for case in cases])
    told, predicted, low, high, volume_low, volume_high = (values[:, number] for values in judged)
    both, there = np.isfinite(dice) & np.isfinite(predicted), reference > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = volume_high[there] / volume_low[there]
    return {
        "dice": {
            "cases": int(both.sum()),
            "spearman": _spearman(told[both], dice[both]),
            "spearman_interval": _spearman_interval(told[both], dice[both]),
            "mean_absolute_error": _mean(np.abs(predicted - dice)[both]),
            "mean_width": _mean((high - low)[both]),
            "coverage": _mean(((low <= dice) & (dice <= high))[both]),
        },
        "volume": {
            "cases": int(there.sum()),
            "absent": int((reference == 0).sum()),
            "high_over_low": _rounded(float(np.median(ratio))) if there.any() else None,
            "coverage": _mean(((volume_low <= reference) & (reference <= volume_high))[there]),
        },
    }


def _of_cases(judged: Judged, dice: np.ndarray) -> dict[str, Any]:
    """Of the mean over structures of each case that has any."""
    measured = np.isfinite(dice) & np.isfinite(judged.predicted)
    known = measured.any(1)
    told, true = (np.nanmean(np.where(measured, values, np.nan)[known], 1) for values in (judged.told, dice))
    return {
        "mean_dice": {
            "cases": int(known.sum()),
            "spearman": _spearman(told, true),
            "spearman_interval": _spearman_interval(told, true),
        },
        "risk_coverage": risk_coverage(told, true) if known.any() else None,
        "flagged": [flagged(judged.predicted, dice, below) for below in FLAGGED_BELOW],
    }


def _spearman(predicted: np.ndarray, dice: np.ndarray) -> float | None:
    if len(dice) < 3 or np.ptp(predicted) == 0 or np.ptp(dice) == 0:
        return None
    return _rounded(float(spearmanr(predicted, dice)[0]))  # pyright: ignore[reportArgumentType]


def _spearman_interval(told: np.ndarray, dice: np.ndarray) -> list[float] | None:
    """95 %, by the bootstrap over cases (percentiles)."""
    if _spearman(told, dice) is None:
        return None
    draws = np.random.default_rng(SEED).integers(0, len(dice), (DRAWS, len(dice)))
    found = [_spearman(told[drawn], dice[drawn]) for drawn in draws]
    return [round(float(end), DIGITS) for end in np.percentile([one for one in found if one is not None], [2.5, 97.5])]


def _mean(values: np.ndarray) -> float | None:
    return _rounded(float(values.mean())) if len(values) else None


def _rounded(value: float) -> float | None:
    """As JSON has it."""
    return round(float(value), DIGITS) if math.isfinite(value) else None


def _listed(values: np.ndarray) -> list[float | None]:
    return [_rounded(value) for value in values]
