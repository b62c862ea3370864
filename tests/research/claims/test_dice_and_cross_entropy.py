"""Claims on one level's loss: Dice as a cosine, what the joint Dice balances, cross-entropy as KL, added gradients."""

import pytest
import torch
from monai.losses import DiceLoss
from monai.networks import one_hot
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.losses import JointDiceCELoss

CLASSES, VOXELS = 4, 1000


def dice(y: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Soft Dice, over all numbers together."""
    return 2 * (y * p).sum() / (y.square().sum() + p.square().sum())


def random_probabilities(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double).softmax(1)


def test_dice_is_the_cosine_when_the_norms_agree() -> None:
    y, p = torch.rand(2, 300, dtype=torch.double)
    p = p * y.norm() / p.norm()
    assert_close(dice(y, p), F.cosine_similarity(y, p, dim=0))


def test_dice_is_below_the_cosine_otherwise() -> None:
    """By 2 r / (1 + r^2) for norms of ratio r: the inequality of the two means."""
    y, p = torch.rand(2, 300, dtype=torch.double)
    cosine = F.cosine_similarity(y, p, dim=0)
    for ratio in (0.5, 0.9, 1.1, 2.0):
        scaled = p * ratio * y.norm() / p.norm()
        assert_close(dice(y, scaled) / cosine, torch.tensor(2 * ratio / (1 + ratio**2), dtype=torch.double))
        assert dice(y, scaled) < cosine
        print(f"norms of ratio {ratio}: Dice / cosine = {dice(y, scaled) / cosine:.3f}")


def missed(voxels: int, label_of: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Reference and prediction, one-hot, (1, K, N): classes 1, 2, 3 fill 20 %, 5 % and 0.5 %; some voxels are called 0."""
    label = torch.zeros(1, 1, VOXELS)
    label[..., :200], label[..., 200:250], label[..., 250:255] = 1, 2, 3
    predicted = label.clone()
    predicted[0, 0, (label[0, 0] == label_of).nonzero().flatten()[:voxels]] = 0
    return one_hot(label, CLASSES).double(), one_hot(predicted, CLASSES).double()


def joint(truth: torch.Tensor, predicted: torch.Tensor) -> float:
    """The Dice term of `JointDiceCELoss`."""
    logits = 30 * predicted
    return (JointDiceCELoss()(logits, truth.argmax(1, keepdim=True)) - F.cross_entropy(logits, truth.argmax(1))).item()


def per_class(truth: torch.Tensor, predicted: torch.Tensor) -> float:
    return DiceLoss(squared_pred=True)(predicted, truth).item()


def test_the_joint_dice_does_not_balance_classes() -> None:
    rare = missed(voxels=5, label_of=3)  # all of class 3
    print(f"missing a class of 0.5 % costs {joint(*rare):.4f} jointly, {per_class(*rare):.4f} per class")
    assert joint(*rare) == pytest.approx(0.005, rel=1e-3)
    assert per_class(*rare) == pytest.approx(0.25, rel=0.01)


def test_the_joint_dice_counts_voxels_and_not_classes() -> None:
    """5 voxels cost the same, whether they are all of their class or a fortieth of it."""
    large, rare = missed(voxels=5, label_of=1), missed(voxels=5, label_of=3)
    print(f"5 voxels of a class of 200: {joint(*large):.4f} jointly, {per_class(*large):.4f} per class; ", end="")
    print(f"of a class of 5: {joint(*rare):.4f} and {per_class(*rare):.4f}")
    assert joint(*large) == pytest.approx(joint(*rare), abs=1e-6)
    assert per_class(*rare) > 30 * per_class(*large)


def test_a_sum_over_voxels_outweighs_dice() -> None:
    """The sum is N times the mean, while Dice stays between 0 and 1."""
    logits, label = torch.randn(1, CLASSES, VOXELS, dtype=torch.double), torch.randint(0, CLASSES, (1, VOXELS))
    summed, mean = F.cross_entropy(logits, label, reduction="sum"), F.cross_entropy(logits, label)
    dice_term = 1 - dice(F.one_hot(label, CLASSES).movedim(-1, 1), logits.softmax(1))
    print(f"{VOXELS} voxels: cross-entropy {summed:.0f} as a sum, {mean:.2f} as a mean, Dice term {dice_term:.2f}")
    assert_close(summed, VOXELS * mean)
    assert 0 < dice_term < 1


def test_cross_entropy_is_the_entropy_plus_kl() -> None:
    y, p = random_probabilities(VOXELS, CLASSES), random_probabilities(VOXELS, CLASSES)
    entropy = -(y * y.log()).sum()
    assert_close(-(y * p.log()).sum(), entropy + F.kl_div(p.log(), y, reduction="sum"))
    assert entropy > 0
    hard = F.one_hot(y.argmax(1), CLASSES).double()  # a label map has entropy 0: cross-entropy is KL
    assert_close(-(hard * p.log()).sum(), F.kl_div(p.log(), hard, reduction="sum"))


def test_gradients_of_a_weighted_sum_add() -> None:
    logits, label = (
        torch.randn(1, CLASSES, VOXELS, dtype=torch.double, requires_grad=True),
        torch.randint(0, CLASSES, (1, VOXELS)),
    )
    first = F.cross_entropy(logits, label)
    second = 1 - dice(F.one_hot(label, CLASSES).movedim(-1, 1), logits.softmax(1))
    (together,) = torch.autograd.grad(0.3 * first + 0.7 * second, logits, retain_graph=True)
    (of_first,) = torch.autograd.grad(first, logits, retain_graph=True)
    (of_second,) = torch.autograd.grad(second, logits)
    assert_close(together, 0.3 * of_first + 0.7 * of_second)


def test_the_parenthesis_of_one_minus_dice_matters() -> None:
    """(1 - 2 <Y, P>) / (|Y|^2 + |P|^2): near -1 for a perfect prediction instead of 0."""
    y = one_hot(torch.randint(0, CLASSES, (1, 1, VOXELS)), CLASSES).double()
    as_written = (1 - 2 * (y * y).sum()) / (2 * y.square().sum())
    print(f"a perfect prediction: 1 - Dice = {1 - dice(y, y):.1f}, as written {as_written:.4f}")
    assert 1 - dice(y, y) == 0
    assert as_written == pytest.approx(1 / (2 * VOXELS) - 1)
