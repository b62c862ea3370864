"""Signs of a mask's Dice, against their definitions on whole masks."""

from itertools import combinations

import numpy as np

from scripts.evaluation.calibration.member_dice import member_dice
from scripts.evaluation.calibration.told_dice import Judgement, decided_dice, told_dice


def test_the_dice_between_members_is_told_from_where_they_disagree() -> None:
    """Five masks of two nested classes, whose borders lie apart: against each pair's own Dice."""
    random = np.random.default_rng(0)
    radius = random.uniform(0, 30, 20_000)
    borders = [(10 + shift, 20 + 2 * shift) for shift in random.normal(0, 0.4, 5)]
    masks = np.array([np.where(radius < inner, 1, np.where(radius < outer, 2, 0)) for inner, outer in borders])
    chances = np.stack([(masks == number).mean(0) for number in range(3)], 1)
    logits = np.log(chances + 1e-6)
    apart = np.mean([one != other for one, other in combinations(masks, 2)], 0)
    together = np.stack([logits.argmax(1) == number for number in (1, 2)], 1)
    found = member_dice(apart, logits, together, np.ones(len(radius)), [[1], [2]], regions=False)
    for number, dice in zip((1, 2), found, strict=True):
        pairs = [(one == number, other == number) for one, other in combinations(masks, 2)]
        due = np.mean([2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in pairs])
        assert abs(dice - due) < 0.01
    assert abs(found[0] - found[1]) > 0.01


def test_regions_share_what_is_disputed_by_how_undecided_they_are() -> None:
    logits = np.array([[9.0, 9.0], [9.0, 9.0], [9.0, 0.0], [0.0, -9.0]])  # the second lies in the first
    apart = np.array([0.0, 0.0, 1.0, 1.0])
    found = member_dice(apart, logits, logits >= 0, np.ones(4), [[1], [2]], regions=True)
    np.testing.assert_allclose(found, [1 - 1 / 8, 1 - 1 / 6], atol=1e-3)


def test_an_empty_mask_tells_nothing_and_several_signs_are_averaged() -> None:
    chances = np.array([[0.99, 0.0], [0.8, 0.0], [0.2, 0.0], [0.05, 0.0]])
    mask, weights = chances > 0.5, np.array([1.0, 1.0, 2.0, 5.0])
    decided = decided_dice(chances, mask, weights)
    assert decided[0] == 1 - 3 / 4
    assert np.isnan(decided[1])
    logits = np.log(np.c_[1 - chances.sum(1), chances] + 1e-9)
    found = Judgement(chances, logits, mask, weights, np.array([0.0, 0.0, 0.5, 0.0]))
    both = told_dice(["undecided", "members"], found, [[1], [2]], False)
    assert both[0] == (decided[0] + 1 - 1 / 4) / 2
    assert np.isnan(both[1])
    assert np.isnan(told_dice(["members"], found._replace(disagreement=None), [[1], [2]], False)).all()
