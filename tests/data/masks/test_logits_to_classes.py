"""Of every voxel the likeliest class, and no mask of what are no numbers."""

import pytest
import torch
from monai.data import MetaTensor

from scripts.data import CaseError, LogitsToClassesd


def case(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    image = MetaTensor(torch.zeros(1, *logits.shape[1:]), meta={"filename_or_obj": "a.nii.gz"})
    return {"image": image, "pred": MetaTensor(logits, affine=2 * torch.eye(4))}


def test_the_largest_logit_is_the_class_and_the_grid_is_kept() -> None:
    logits = torch.randn(3, 4, 5, 6)
    pred = LogitsToClassesd("model.pt")(case(logits))["pred"]
    assert torch.equal(pred.as_tensor(), logits.argmax(0, keepdim=True).float())
    assert torch.equal(pred.affine, (2 * torch.eye(4)).to(pred.affine))


@pytest.mark.parametrize(
    ("checkpoint", "of"), [("model.pt", r"model\.pt"), (["a.pt", "b.pt"], r"a\.pt, b\.pt"), (None, "the weights of this epoch")]
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_are_refused_with_checkpoint_and_case(
    value: float, checkpoint: str | list[str] | None, of: str
) -> None:
    logits = torch.zeros(3, 4, 5, 6)
    logits[1, 0, 0, :2] = value
    said = rf"a\.nii\.gz: the network's output must be finite; with {of} it is NaN or infinite in 2 of 120 voxels"
    with pytest.raises(CaseError, match=said):
        LogitsToClassesd(checkpoint)(case(logits))


def test_regions_overwrite_each_other_in_their_order_where_they_are_likelier_than_not() -> None:
    """As nnU-Net writes them."""
    labels = {"0": "background", "1": "necrosis", "2": "edema", "4": "enhancing"}
    regions = {"whole": [1, 2, 4], "core": [1, 4], "enhancing": [4]}
    logits = torch.randn(3, 4, 5, 6)
    logits[:, 0, 0, 0] = 0
    expected = torch.zeros(4, 5, 6)
    for probability, number in zip(logits.sigmoid(), (2, 1, 3), strict=True):
        expected[probability >= 0.5] = number
    pred = LogitsToClassesd("model.pt", labels, regions, [2, 1, 4])(case(logits))["pred"]
    assert torch.equal(pred.as_tensor(), expected[None])
    assert torch.equal(pred.affine, (2 * torch.eye(4)).to(pred.affine))
    with pytest.raises(ValueError, match="region_values would write"):
        LogitsToClassesd("model.pt", labels, regions, [1, 2, 4])
