"""RegionLoss against its formula by hand, in double precision."""

from collections.abc import Sequence

import pytest
import torch

from scripts.losses import DeepSupervision, DiceCELoss, RegionLoss, segmentation_loss

REGIONS = {"whole": [1, 2, 3], "core": [1, 3], "enhancing": [3]}
SETS = {0: [1], 1: [3]}  # edema and enhancing, or necrosis and edema, are annotated
IGNORED = 4
SHAPE = (9, 7, 5)
WEIGHTS = [0.5, 2.0, 7.0]


def label(*numbers: int | None, ignored: Sequence[int] = ()) -> torch.Tensor:
    """A case for each number of a label set; None: all is annotated."""
    classes = torch.randint(0, 4, (len(numbers), 1, *SHAPE))
    for case, number in zip(classes, numbers, strict=True):
        if number is not None:
            case[(case == 0) | (case == SETS[number][0])] = -1 - number
    classes[..., list(ignored)] = IGNORED
    return classes


def by_hand(logits: torch.Tensor, label: torch.Tensor, weights: Sequence[float]) -> float:
    cross, total, dice = 0.0, 0.0, []
    for scores, classes in zip(logits, label[:, 0], strict=True):
        hidden = SETS.get(-1 - int(classes.min()), [])
        counted = classes != IGNORED
        losses, counts = 0.0, 0.0
        for score, members, weight in zip(scores, REGIONS.values(), weights, strict=True):
            if set(members) & set(hidden):
                continue
            p = 1 / (1 + (-score[counted]).exp())
            y = sum(classes[counted] == member for member in members).double()
            cross -= weight * float((y * p.log() + (1 - y) * (1 - p).log()).sum())
            total += weight * y.numel()
            losses += weight * float(1 - (2 * (p * y).sum() + 1e-5) / ((p * p).sum() + (y * y).sum() + 1e-5))
            counts += weight
        dice.append(losses / counts)
    return cross / total + sum(dice) / len(dice)


@pytest.mark.parametrize("ignored", [(), (1, 2, 4)], ids=["every voxel", "two slices of five"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["all alike", "weighted"])
@pytest.mark.parametrize("numbers", [(None, None), (0,), (None, 0)], ids=["all annotated", "partly", "mixed"])
def test_equals_the_formula(numbers: tuple[int | None, ...], weights: list[float] | None, ignored: tuple[int, ...]) -> None:
    """Where necrosis may hide in the background, enhancing is the one region that is known."""
    given = torch.randn(len(numbers), 3, *SHAPE, dtype=torch.double)
    truth = label(*numbers, ignored=ignored)
    loss = RegionLoss(REGIONS, weight=weights, ignore_index=IGNORED if ignored else None, label_sets=SETS)
    assert loss(given, truth).item() == pytest.approx(by_hand(given, truth, weights or [1, 1, 1]), abs=1e-6)


@pytest.mark.parametrize("truth", [label(1), label(None, ignored=range(5))], ids=["no region is known", "all ignored"])
def test_where_nothing_counts_the_loss_is_0_without_nan(truth: torch.Tensor) -> None:
    given = torch.randn(1, 3, *SHAPE, dtype=torch.double, requires_grad=True)
    loss = RegionLoss(REGIONS, ignore_index=IGNORED, label_sets=SETS)(given, truth)
    loss.backward()
    assert given.grad is not None
    assert (loss.item(), given.grad.any().item()) == (0, False)


def test_logits_of_ignored_voxels_change_nothing() -> None:
    given, truth = torch.randn(2, 3, *SHAPE), label(None, None, ignored=(1, 3))
    loss = RegionLoss(REGIONS, ignore_index=IGNORED)
    assert loss(given, truth).item() == loss(given.masked_fill(truth == IGNORED, 9.0), truth).item()


def test_half_precision_does_not_overflow() -> None:
    given, truth = torch.full((1, 3, 64, 64, 32), 9.0).half(), torch.full((1, 1, 64, 64, 32), 3)
    assert 0 < RegionLoss(REGIONS)(given, truth).item() < 0.001


def test_it_is_supervised_at_every_level() -> None:
    levels = [torch.randn(1, 3, *shape) for shape in ((8, 8, 5), (4, 4, 5))]
    truth = torch.randint(0, 4, (1, 1, 8, 8, 5))
    expected = [
        by_hand(level.double(), small, [1] * 3) for level, small in zip(levels, (truth, truth[:, :, 1::2, 1::2]), strict=True)
    ]
    found = DeepSupervision(RegionLoss(REGIONS), [0.7, 0.3])(levels, truth)
    assert found.item() == pytest.approx(0.7 * expected[0] + 0.3 * expected[1], abs=1e-5)


def test_a_preset_with_regions_has_this_loss_and_one_without_that_of_classes() -> None:
    labels = {"0": "background", "2": "edema", "5": "core"}
    options = {"weight": [1, 2], "ignore_index": 3, "lambda_ce": 0.5}
    of_regions = segmentation_loss(labels, {"whole": [2, 5], "core": [5]}, **options)
    assert isinstance(of_regions, RegionLoss)
    assert (of_regions.regions, of_regions.weight, of_regions.ignore_index) == ([[1, 2], [2]], [1, 2], 3)
    assert isinstance(segmentation_loss(labels), DiceCELoss)
    with pytest.raises(ValueError, match="regions have no background"):
        segmentation_loss(labels, {"whole": [2, 5]}, include_background=False)
