"""DiceCELoss and JointDiceCELoss with weights and ignored voxels, against their formulas in double precision."""

from collections.abc import Sequence

import monai.losses
import pytest
import torch
from torch.testing import assert_close

from scripts.losses import DeepSupervision, DiceCELoss, JointDiceCELoss

K = 3
SHAPE = (2, 1, 9, 7, 5)
WEIGHTS = [0.5, 2.0, 7.0]


def logits() -> torch.Tensor:
    return torch.randn(2, K, *SHAPE[2:], dtype=torch.double)


def label(*ignored: int) -> torch.Tensor:
    """Of all classes; in `ignored` slices nobody labelled."""
    classes = torch.randint(0, K, SHAPE)
    classes[..., list(ignored)] = K
    return classes


def by_hand(logits: torch.Tensor, label: torch.Tensor, weights: Sequence[float], joint: bool, background: bool = True) -> float:
    """Voxel by voxel of those that count."""
    weight = torch.tensor(weights, dtype=torch.double)
    all_probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    cross, total, dice = 0.0, 0.0, []
    for volume, classes in zip(all_probabilities, label[:, 0], strict=True):
        counted = classes < K
        found, truth = volume[:, counted], torch.stack([classes[counted] == k for k in range(K)]).double()  # (K, voxels)
        cross -= float((weight[:, None] * truth * found.log()).sum())
        total += float((weight[:, None] * truth).sum())
        if joint:
            found, truth = found.reshape(1, -1), truth.reshape(1, -1)
        losses = 1 - (2 * (found * truth).sum(1) + 1e-5) / (found.square().sum(1) + truth.square().sum(1) + 1e-5)
        of_class = torch.ones(1) if joint else weight
        first = 0 if joint or background else 1
        dice.append(float((of_class * losses)[first:].sum() / of_class[first:].sum()))
    return cross / total + sum(dice) / len(dice)


@pytest.mark.parametrize("ignored", [(), (0,), (1, 2, 4)], ids=["none", "one slice", "three of five"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["all alike", "weighted"])
@pytest.mark.parametrize("loss", [DiceCELoss, JointDiceCELoss])
def test_equals_the_formula_over_the_voxels_that_count(
    loss: type[torch.nn.Module], weights: list[float] | None, ignored: tuple[int, ...]
) -> None:
    given, truth = logits(), label(*ignored)
    expected = by_hand(given, truth, weights or [1] * K, joint=loss is JointDiceCELoss)
    found = loss(weight=weights, ignore_index=K if ignored else None)(given, truth)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_without_the_background_its_weight_counts_in_the_cross_entropy_alone() -> None:
    given, truth = logits(), label(3)
    found = DiceCELoss(include_background=False, weight=WEIGHTS, ignore_index=K)(given, truth)
    assert found.item() == pytest.approx(by_hand(given, truth, WEIGHTS, joint=False, background=False), abs=1e-6)


def test_without_either_it_is_monai_s_to_the_last_bit() -> None:
    ours, theirs = DiceCELoss(), monai.losses.DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True)
    for dtype in (torch.float32, torch.float64):
        one, other = (given.to(dtype).requires_grad_() for given in [logits()] * 2)
        truth = label().float()
        losses = [loss(given, truth) for loss, given in ((ours, one), (theirs, other))]
        assert torch.equal(*losses)
        sum(losses).backward()  # pyright: ignore[reportAttributeAccessIssue]
        assert one.grad is not None and other.grad is not None
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("loss", [DiceCELoss, JointDiceCELoss])
def test_logits_of_ignored_voxels_change_nothing_and_get_no_gradient(loss: type[torch.nn.Module]) -> None:
    given, truth = logits().requires_grad_(), label(1, 3)
    of_loss = loss(ignore_index=K)
    found = of_loss(given, truth)
    found.backward()
    assert given.grad is not None
    ignored = (truth == K).expand_as(given)
    assert not given.grad[ignored].any()
    assert given.grad[~ignored].all()
    assert of_loss(given.where(~ignored, 9.0), truth).item() == found.item()


@pytest.mark.parametrize("loss", [DiceCELoss, JointDiceCELoss])
@pytest.mark.parametrize(
    ("ignored", "weights"), [(range(5), None), ((), [0.0, 1.0, 1.0])], ids=["all ignored", "all of weight 0"]
)
def test_where_nothing_counts_there_is_no_nan(
    loss: type[torch.nn.Module], ignored: Sequence[int], weights: list[float] | None
) -> None:
    given, truth = logits().requires_grad_(), label(*ignored)
    truth = truth.where(truth == K, 0)
    found = loss(weight=weights, ignore_index=K)(given, truth)
    found.backward()
    assert given.grad is not None
    assert torch.isfinite(given.grad).all()
    if ignored:
        assert (found.item(), given.grad.any().item()) == (0, False)


def test_ten_times_the_weights_are_the_same_loss() -> None:
    given, truth = logits(), label(2)
    once, tenfold = (DiceCELoss(weight=[x * w for w in WEIGHTS], ignore_index=K)(given, truth) for x in (1, 10))
    assert_close(once, tenfold, atol=1e-12, rtol=0)


def test_ignored_voxels_stay_ignored_at_the_coarser_levels() -> None:
    """Of single precision, as training has it."""
    shapes = [(8, 8, 5), (4, 4, 5), (2, 2, 5)]
    levels = [torch.randn(2, K, *shape) for shape in shapes]
    truth = torch.randint(0, K, (2, 1, *shapes[0]))
    truth[..., [1, 2, 4]] = K
    truth[:, :, 4:, :, 0] = K
    loss = DeepSupervision(DiceCELoss(ignore_index=K), [0.5, 0.3, 0.2])
    shrunk = [truth, truth[:, :, 1::2, 1::2], truth[:, :, 2::4, 2::4]]  # the voxels nearest to the centres
    assert all((small == K).any() and (small < K).any() for small in shrunk)
    parts = [by_hand(level.double(), small, [1] * K, joint=False) for level, small in zip(levels, shrunk, strict=True)]
    assert loss(levels, truth).item() == pytest.approx(0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2], abs=1e-5)
