"""Out-of-fold masks and their references -> the cleaning of each structure that makes them better."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import label

from ...basics.cleaning import REMOVE_SMALL, STEPS, Cleaning
from ...basics.geometry import TOUCHING
from ..case_interval import case_interval
from .sampled_case import SampledCase

IGNORED = -1
SHARE = 0.5  # of the smallest component of all references, below which an object is small
Clean = Callable[[np.ndarray, int, Mapping[str, Any], list[float]], None]


class Labelled(NamedTuple):
    """mask, reference: label values (H, W, D) on one grid, the latter IGNORED where nothing counts. spacing: mm.

    annotated: the values that the reference tells of.
    """

    mask: np.ndarray
    reference: np.ndarray
    spacing: list[float]
    annotated: set[int]


def choose_cleaning(
    cases: Callable[[], Iterable[Labelled]], labels: Mapping[int, str], clean: Clean
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Tries the steps of `data.masks.clean_mask` in their order, for each structure by itself.

    As in nnU-Net (Isensee et al., Nature Methods, 2021), a step is kept where it helps on cases that the network was not
    trained on, beside those that were kept before it. Here "helps" takes an interval: that of the paired difference of the
    Dice over the cases (`case_interval`, 95 %) must lie above 0. So a step that helps too few cases to be sure is left out.

    Args:
        cases: goes over them anew each time.
        labels: label value -> name, without the background.
        clean: changes a mask in place.

    Returns:
        the setting `cleaning`, and what was measured: of each structure and step the mean `difference` of the Dice, its
        `interval`, whether it was `kept`, and the size of the first step.
    """
    smallest = dict.fromkeys(labels, math.inf)  # mm³
    for case in cases():
        for value in labels:
            if value in case.annotated and (case.reference == value).any():
                components, _ = label(case.reference == value, TOUCHING)  # pyright: ignore[reportGeneralTypeIssues]
                smallest[value] = min(smallest[value], np.bincount(components.ravel())[1:].min() * math.prod(case.spacing))
    sizes = {value: float(f"{SHARE * size:.4g}") for value, size in smallest.items() if size < math.inf}
    choices = {value: _choices(size) for value, size in sizes.items()}
    dice: dict[int, list[list[float]]] = {value: [] for value in choices}  # of each case, of each choice
    for case in cases():
        for value, steps in choices.items():
            if value in case.annotated:
                dice[value].append([_dice_after(case, value, chosen, clean) for chosen in steps])
    kept, measured = {}, {}
    for value, name in labels.items():
        if value in choices:
            kept[name], measured[name] = _decided(choices[value], np.array(dice[value]))
    return {name: steps for name, steps in kept.items() if steps}, measured


def _choices(size: float) -> list[dict[str, Any]]:
    """Every set of steps, none first."""
    return [
        {step: size if step == REMOVE_SMALL else True for step, is_taken in zip(STEPS, taken, strict=True) if is_taken}
        for taken in product((False, True), repeat=len(STEPS))
    ]


def _dice_after(case: Labelled, value: int, steps: Mapping[str, Any], clean: Clean) -> float:
    mask = case.mask.copy()
    if steps:
        clean(mask, value, steps, case.spacing)
    found, expected = (mask == value) & (case.reference != IGNORED), case.reference == value
    total = int(found.sum()) + int(expected.sum())
    return 2 * int((found & expected).sum()) / total if total else math.nan


def _decided(choices: list[dict[str, Any]], dice: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """dice: (cases, choices)."""
    kept: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    for step in STEPS:
        with_it = next(choice for choice in choices if choice.keys() == {*kept, step})
        difference = dice[:, choices.index(with_it)] - dice[:, choices.index(kept)]
        known = difference[~np.isnan(difference)]
        interval = case_interval(known[:, None])
        helps = interval is not None and interval[0] > 0
        measured[step] = {
            "difference": round(float(known.mean()), 6) if len(known) else None,
            "interval": None if interval is None else [round(bound, 6) for bound in interval],
            "kept": helps,
            **({"size": with_it[step]} if step == REMOVE_SMALL else {}),
        }
        if helps:
            kept = {chosen: with_it[chosen] for chosen in with_it}
    return kept, measured


def cleaned(case: SampledCase, labelled: Labelled, labels: Mapping[int, str], cleaning: Cleaning, clean: Clean) -> SampledCase:
    """The case with its mask cleaned: what is sampled of it, its sizes, and its Dice. labels: with the background."""
    mask = labelled.mask.copy()
    for value, name in labels.items():
        if name in cleaning:
            clean(mask, value, cleaning[name], labelled.spacing)
    numbers = np.searchsorted([*labels], mask)
    inside = numbers[labelled.reference != IGNORED]
    dice, voxels = case.dice.copy(), case.voxels.copy()
    for place, value in enumerate([*labels][1:]):
        voxels[place] = (inside == place + 1).sum()
        if not np.isnan(case.voxels_reference[place]):
            total = voxels[place] + case.voxels_reference[place]
            overlap = ((numbers == place + 1) & (labelled.reference == value)).sum()
            dice[place] = 2 * overlap / total if total else np.nan
    return replace(case, mask=numbers.ravel()[case.places], dice=dice, voxels=voxels)
