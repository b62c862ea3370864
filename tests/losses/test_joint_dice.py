"""JointDiceCELoss against its formula, and what it does to a rare class."""

import pytest
import torch
from monai.losses import DiceCELoss
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.losses import JointDiceCELoss


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_equals_the_formula(dtype: torch.dtype) -> None:
    logits = torch.randn(2, 3, 4, 5, 6, dtype=torch.double)
    label = torch.randint(0, 3, (2, 1, 4, 5, 6))
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    truth = torch.cat([label == k for k in range(3)], 1).double()
    cross_entropy = -(truth * probabilities.log()).sum(1).mean()
    dice = [2 * (y * p).sum() / (y.square().sum() + p.square().sum()) for y, p in zip(truth, probabilities, strict=True)]
    expected = cross_entropy + 1 - sum(dice) / len(dice)
    assert_close(JointDiceCELoss()(logits, label.to(dtype)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("loss", "cost"),
    [(JointDiceCELoss(), 0.005), (DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), 0.25)],
    ids=["joint", "per class"],
)
def test_missing_a_class_of_half_a_percent_costs_little_jointly_and_a_quarter_per_class(
    loss: torch.nn.Module, cost: float
) -> None:
    """The Dice terms at K = 4; all the rest is predicted perfectly."""
    label = torch.zeros(1, 1, 10, 10, 10, dtype=torch.long)
    label.flatten()[:600] = 1
    label.flatten()[600:700] = 2
    label.flatten()[700:705] = 3
    predicted = label.where(label != 3, 0)
    logits = 30 * F.one_hot(predicted.squeeze(1), 4).movedim(-1, 1).double()
    dice_term = loss(logits, label) - F.cross_entropy(logits, label.squeeze(1))
    assert dice_term.item() == pytest.approx(cost, rel=0.02)
