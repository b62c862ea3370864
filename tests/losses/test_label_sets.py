"""Losses of partly annotated cases against their formulas by hand, in double precision."""

from collections.abc import Sequence

import pytest
import torch

from scripts.losses import DeepSupervision, DiceCELoss, JointDiceCELoss

K = 4
SHAPE = (9, 7, 5)
SETS = {0: [2], 3: [1, 3]}
WEIGHTS = [0.5, 2.0, 7.0, 1.5]
LOSSES = (DiceCELoss, JointDiceCELoss)
IGNORED = K


def logits(cases: int) -> torch.Tensor:
    return torch.randn(cases, K, *SHAPE, dtype=torch.double)


def label(*numbers: int | None, ignored: Sequence[int] = ()) -> torch.Tensor:
    """A case for each number of a label set, of the classes that are annotated in it; None: of all."""
    volumes = []
    for number in numbers:
        hidden = SETS[number] if number is not None else []
        classes = torch.randint(0, K, (1, *SHAPE))
        classes[torch.isin(classes, torch.tensor(hidden, dtype=torch.long))] = 0
        classes[classes == 0] = 0 if number is None else -1 - number
        classes[..., list(ignored)] = IGNORED
        volumes.append(classes)
    return torch.stack(volumes)


def by_hand(logits: torch.Tensor, label: torch.Tensor, weights: Sequence[float] | None, joint: bool) -> float:
    """Of each case the probabilities of its classes, of which the first one is the background and all that may hide in it."""
    weights = weights or [1.0] * K
    cross, total, dice = 0.0, 0.0, []
    for scores, classes in zip(logits, label[:, 0], strict=True):
        probabilities = scores.exp() / scores.exp().sum(0)
        number = -1 - int(classes.min())
        known = [k for k in range(K) if k not in SETS.get(number, [])]
        counted = classes != IGNORED
        found = torch.stack([probabilities[k] for k in known])[:, counted]
        found[0] = 1 - found[1:].sum(0)
        truth = torch.stack([classes == k if k else classes <= 0 for k in known])[:, counted].double()
        weight = torch.tensor([weights[k] for k in known], dtype=torch.double)
        cross -= float((weight[:, None] * truth * found.log()).sum())
        total += float((weight[:, None] * truth).sum())
        if joint:
            found, truth, weight = found.reshape(1, -1), truth.reshape(1, -1), torch.ones(1)
        losses = 1 - (2 * (found * truth).sum(1) + 1e-5) / (found.square().sum(1) + truth.square().sum(1) + 1e-5)
        dice.append(float((weight * losses).sum() / weight.sum()))
    return cross / total + sum(dice) / len(dice)


@pytest.mark.parametrize("ignored", [(), (1, 2, 4)], ids=["every voxel", "two slices of five"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["all alike", "weighted"])
@pytest.mark.parametrize("numbers", [(0,), (3,), (None,), (0, None, 3)], ids=["one class", "two", "none", "a batch of all"])
@pytest.mark.parametrize("loss", LOSSES)
def test_equals_the_formula_of_merged_classes(
    loss: type[torch.nn.Module], numbers: tuple[int | None, ...], weights: list[float] | None, ignored: tuple[int, ...]
) -> None:
    given, truth = logits(len(numbers)), label(*numbers, ignored=ignored)
    found = loss(weight=weights, ignore_index=IGNORED if ignored else None, label_sets=SETS)(given, truth)
    assert found.item() == pytest.approx(by_hand(given, truth, weights, loss is JointDiceCELoss), abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mixed_batch_is_the_mean_over_its_cases(loss: type[torch.nn.Module]) -> None:
    given, truth = logits(4), label(0, None, 3, 0)
    of_loss = loss(label_sets=SETS)
    apart = [of_loss(given[i : i + 1], truth[i : i + 1]).item() for i in range(4)]
    assert of_loss(given, truth).item() == pytest.approx(sum(apart) / 4, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_case_of_which_all_is_annotated_is_not_changed(loss: type[torch.nn.Module]) -> None:
    given, truth = logits(2), label(None, None)
    one, other = (loss(weight=WEIGHTS, label_sets=sets)(given, truth).item() for sets in (SETS, {}))
    assert one == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_which_of_the_classes_that_may_hide_there_it_is_changes_nothing(loss: type[torch.nn.Module]) -> None:
    """Their logits may be exchanged, with each other and with the background's; all of them get gradients."""
    given, truth = logits(1).requires_grad_(), label(3)
    of_loss = loss(label_sets=SETS)
    found = of_loss(given, truth)
    found.backward()
    assert given.grad is not None and torch.isfinite(given.grad).all() and given.grad.all()
    assert of_loss(given[:, [3, 0, 2, 1]], truth).item() == pytest.approx(found.item(), abs=1e-12)


def test_without_the_background_the_dice_of_what_is_annotated_counts() -> None:
    given, truth = logits(1), label(3)
    probabilities = given.softmax(1)[0, 2]
    wanted = (truth[0, 0] == 2).double()
    dice = 1 - (2 * (probabilities * wanted).sum() + 1e-5) / ((probabilities**2).sum() + wanted.sum() + 1e-5)
    found = DiceCELoss(include_background=False, lambda_ce=0, label_sets=SETS)(given, truth)
    assert found.item() == pytest.approx(dice.item(), abs=1e-6)


def test_sets_stay_at_the_coarser_levels() -> None:
    shapes = [(8, 8, 5), (4, 4, 5), (2, 2, 5)]
    levels = [torch.randn(2, K, *shape) for shape in shapes]
    truth = torch.randint(1, K, (2, 1, *shapes[0]))
    truth[0][torch.isin(truth[0], torch.tensor(SETS[0]))] = -1
    truth[1][truth[1] == 3] = 0
    loss = DeepSupervision(DiceCELoss(label_sets=SETS), [0.5, 0.3, 0.2])
    shrunk = [truth, truth[:, :, 1::2, 1::2], truth[:, :, 2::4, 2::4]]  # the voxels nearest to the centres
    parts = [by_hand(level.double(), small, None, joint=False) for level, small in zip(levels, shrunk, strict=True)]
    assert loss(levels, truth).item() == pytest.approx(0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2], abs=1e-5)
