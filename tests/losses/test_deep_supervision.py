"""DeepSupervision, and the loss of the configs, against their formulas written by hand."""

import pytest
import torch
from monai.losses import DiceCELoss
from torch.testing import assert_close

from scripts.losses import DeepSupervision

WEIGHTS = [8 / 15, 4 / 15, 2 / 15, 1 / 15]
CLASSES = 3
SHAPES = [(9, 7, 3), (5, 4, 3), (3, 2, 3), (2, 1, 3)]  # of the levels, finest first


@pytest.fixture
def loss() -> DeepSupervision:
    return DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), WEIGHTS)


@pytest.fixture
def logits() -> list[torch.Tensor]:
    return [torch.randn(2, CLASSES, *shape) for shape in SHAPES]


@pytest.fixture
def label() -> torch.Tensor:
    return torch.randint(0, CLASSES, (2, 1, *SHAPES[0]))


def shrunk(label: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The label nearest to the centre of every larger voxel, what torch calls nearest-exact."""
    for axis, size in enumerate(shape, start=2):
        centres = (torch.arange(size, dtype=torch.double) + 0.5) * label.shape[axis] / size
        label = label.index_select(axis, centres.long())
    return label


def dice_ce(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, mean over voxels, + 1 - soft Dice with squared denominators, mean over classes and volumes."""
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    truth = (label == torch.arange(CLASSES).view(1, -1, 1, 1, 1)).float()
    cross_entropy = -(truth * probabilities.log()).sum(1).mean()
    overlap = (truth * probabilities).sum((2, 3, 4))
    size = truth.square().sum((2, 3, 4)) + probabilities.square().sum((2, 3, 4))
    return cross_entropy + (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()  # MONAI's smoothing terms


def test_is_the_weighted_sum_over_levels_with_shrunk_labels(
    loss: DeepSupervision, logits: list[torch.Tensor], label: torch.Tensor
) -> None:
    expected = sum(
        weight * dice_ce(level, shrunk(label, shape)) for weight, level, shape in zip(WEIGHTS, logits, SHAPES, strict=True)
    )
    assert_close(loss(logits, label), expected)


def test_a_single_tensor_is_supervised_by_the_loss_alone(
    loss: DeepSupervision, logits: list[torch.Tensor], label: torch.Tensor
) -> None:
    assert_close(loss(logits[0], label), dice_ce(logits[0], label))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64])
def test_integer_labels_give_the_result_of_floats(
    loss: DeepSupervision, logits: list[torch.Tensor], label: torch.Tensor, dtype: torch.dtype
) -> None:
    label = label.clamp(max=1)
    expected = loss(logits, label.float())
    assert torch.equal(loss(logits, label.to(dtype)), expected)


@pytest.mark.parametrize("several", [True, False], ids=["levels", "single tensor"])
def test_logits_in_half_precision_are_summed_in_full(loss: DeepSupervision, several: bool) -> None:
    """The sums of 131,072 voxels exceed the largest number of fp16, 65,504."""
    logits = torch.randn(1, CLASSES, 64, 64, 32).half()
    label = torch.randint(0, CLASSES, (1, 1, 64, 64, 32))
    given = [logits] * 4 if several else logits  # four equal levels, weights of sum 1: the loss of one
    assert_close(loss(given, label), dice_ce(logits.float(), label))


def test_gradients_reach_every_level(loss: DeepSupervision, logits: list[torch.Tensor], label: torch.Tensor) -> None:
    logits = [level.requires_grad_() for level in logits]
    loss(logits, label).backward()
    assert all(level.grad is not None and level.grad.any() for level in logits)


@pytest.mark.parametrize("count", [3, 5])
def test_a_wrong_number_of_levels_is_refused_in_words(loss: DeepSupervision, label: torch.Tensor, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} supervised stages but supervision_weights has 4"):
        loss([torch.randn(2, CLASSES, *SHAPES[0])] * count, label)
