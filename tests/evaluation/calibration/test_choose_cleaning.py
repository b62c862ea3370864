"""A step of cleaning is kept where it helps, for each structure by itself, and only then."""

from collections.abc import Iterator

import numpy as np
import pytest
from simulated import case_of

from scripts.data.masks.clean_mask import clean_mask
from scripts.evaluation.calibration.choose_cleaning import IGNORED, Labelled, choose_cleaning, cleaned

LABELS = {1: "liver", 4: "tumour"}


def labelled(seed: int) -> Labelled:
    """A liver in one piece of which the mask has a second one, and two tumours that the mask finds both."""
    random = np.random.default_rng(seed)
    reference = np.zeros((24, 20, 8), np.int32)
    reference[2:12, 2:12, 1:7] = 1
    reference[16:20, 4:8, 2:4], reference[16:19, 12:15, 2:4] = 4, 4
    mask = reference.copy()
    mask[2:3, 2 : 3 + random.integers(5), 1:7] = 0
    mask[21 : 22 + random.integers(1, 3), 17:19, 1:3] = 1  # far from all
    return Labelled(mask, reference, [1.0, 1.0, 2.0], {1, 4})


def test_the_piece_too_much_goes_and_both_tumours_stay() -> None:
    cleaning, measured = choose_cleaning(lambda: map(labelled, range(12)), LABELS, clean_mask)
    assert cleaning == {"liver": {"remove_small": 600.0}}  # half of 10 x 10 x 6 voxels of 2 mm³
    assert measured["liver"]["remove_small"]["interval"][0] > 0
    assert measured["liver"]["keep_largest"] == {"difference": 0.0, "interval": None, "kept": False}  # nothing is left to do
    assert measured["tumour"]["keep_largest"]["difference"] < -0.1
    assert not any(step["kept"] for step in measured["tumour"].values())


def test_what_helps_in_too_few_cases_is_not_kept() -> None:
    perfect = Labelled(labelled(0).reference, *labelled(0)[1:])
    cleaning, measured = choose_cleaning(lambda: [labelled(1), *[perfect] * 11], LABELS, clean_mask)
    assert measured["liver"]["remove_small"]["difference"] > 0
    assert cleaning == {}


def test_structures_that_nobody_annotated_and_ignored_voxels_do_not_count() -> None:
    def cases() -> Iterator[Labelled]:
        for mask, reference, spacing, _ in map(labelled, range(12)):
            yield Labelled(mask, np.where((mask == 1) & (reference == 0), IGNORED, reference), spacing, {1})

    cleaning, measured = choose_cleaning(cases, LABELS, clean_mask)
    assert (cleaning, [*measured]) == ({}, ["liver"])
    assert measured["liver"]["remove_small"]["difference"] == 0


def test_a_sampled_case_becomes_that_of_the_cleaned_mask() -> None:
    one = labelled(0)
    numbers = [np.searchsorted([0, 1, 4], side).ravel() for side in (one.mask, one.reference)]
    case = case_of(np.zeros((one.mask.size, 3)), *numbers)
    after = cleaned(case, one, {0: "background", **LABELS}, {"liver": {"keep_largest": True}}, clean_mask)
    mask = one.mask.copy()
    clean_mask(mask, 1, {"keep_largest": True}, one.spacing)
    again = case_of(case.logits, np.searchsorted([0, 1, 4], mask).ravel(), numbers[1])
    np.testing.assert_array_equal(after.mask, again.mask)
    assert (after.dice, after.voxels) == (pytest.approx(again.dice), pytest.approx(again.voxels))
    assert after.dice[0] > case.dice[0]
