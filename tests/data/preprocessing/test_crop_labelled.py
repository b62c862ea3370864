"""Crops are centred on voxels that somebody labelled, and are MONAI's where nothing is ignored."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import RandCropByLabelClassesd, RandCropByPosNegLabeld

from scripts.data import RandCropLabelledd

SHAPE = (7, 6, 30)
IGNORED = 4


def arguments(**others: Any) -> dict[str, Any]:
    return {"keys": ["label", "position"], "label_key": "label", "spatial_size": (7, 6, 1), "pos": 2, "neg": 1, **others}


def slices(label: torch.Tensor, number: int = 600) -> np.ndarray:
    """In which the crops of one slice were drawn."""
    position = torch.arange(SHAPE[2]).expand(1, *SHAPE)
    crop = RandCropLabelledd(IGNORED, **arguments(num_samples=number)).set_random_state(seed=0)
    return np.array([int(one["position"].unique()) for one in crop({"label": label, "position": position})])


def test_every_tenth_slice_is_labelled_and_drawn_alone_and_structures_as_often_as_pos_says() -> None:
    label = torch.full((1, *SHAPE), float(IGNORED))
    label[..., [5, 15, 25]] = 0
    label[0, 2, 3, 15] = 3
    drawn = slices(label)
    assert {*drawn.tolist()} == {5, 15, 25}
    assert np.mean(drawn == 15) == pytest.approx(2 / 3 + 1 / 3 * 41 / 125, abs=0.08)  # 125 voxels of background


def test_where_nothing_is_labelled_any_voxel_may_be_the_centre() -> None:
    drawn = slices(torch.full((1, *SHAPE), float(IGNORED)))
    assert {*drawn.tolist()} == {*range(SHAPE[2])}


def test_without_voxels_to_ignore_the_crops_are_those_of_monai() -> None:
    data = {"label": torch.randint(0, 3, (1, *SHAPE)) * (torch.rand(SHAPE) > 0.9), "position": torch.rand(1, *SHAPE)}
    theirs = RandCropByPosNegLabeld(**arguments(num_samples=20)).set_random_state(seed=3)(data)
    for ignored in (None, IGNORED):
        ours = RandCropLabelledd(ignored, **arguments(num_samples=20)).set_random_state(seed=3)(data)
        assert all(torch.equal(one["position"], other["position"]) for one, other in zip(ours, theirs, strict=True))


RARE = 2


@pytest.fixture(scope="module")
def rare() -> torch.Tensor:
    """256 slices of 20 x 20 voxels: an organ in a tenth of them, and a nodule of 0.01 % of the volume in another one."""
    label = torch.zeros(1, 20, 20, 256)
    label[..., 40:66] = 1
    label[0, 8:10, 8:13, 200] = RARE
    return label


def share_with_the_nodule(label: torch.Tensor, crop_classes: Any, number: int = 1000) -> float:
    """Of crops of 32 slices."""
    others = {"keys": ["label"], "spatial_size": (20, 20, 32), "num_samples": number}
    crop = RandCropLabelledd(None, crop_classes, **arguments(**others)).set_random_state(seed=0)
    return float(np.mean([bool((one["label"] == RARE).any()) for one in crop({"label": label})]))


@pytest.mark.parametrize(
    ("crop_classes", "of_nodule", "of_background"), [(None, 0, 1 / 3), ("balanced", 1 / 3, 1 / 3), ([0, 1, 4], 4 / 5, 0)]
)
def test_a_class_of_a_ten_thousandth_of_the_voxels_is_in_as_many_crops_as_crop_classes_says(
    rare: torch.Tensor, crop_classes: Any, of_nodule: float, of_background: float
) -> None:
    """A centre on background is one of 230 slices, of which 32 give a crop that contains the nodule."""
    assert (rare == RARE).float().mean() == pytest.approx(1e-4, rel=0.05)
    expected = of_nodule + of_background * 32 / 230
    assert share_with_the_nodule(rare, crop_classes) == pytest.approx(expected, abs=0.04)


def test_with_ratios_of_classes_the_crops_are_those_of_monai() -> None:
    label = torch.randint(0, 4, (1, *SHAPE)) * (torch.rand(SHAPE) > 0.9)
    data = {"label": label, "position": torch.rand(1, *SHAPE)}
    ratios = [1, 0, 2, 5]
    others = arguments(num_samples=20)
    del others["pos"], others["neg"]
    theirs = RandCropByLabelClassesd(**others, ratios=ratios, num_classes=4).set_random_state(seed=3)(data)
    for ignored in (None, IGNORED):
        ours = RandCropLabelledd(ignored, ratios, **arguments(num_samples=20)).set_random_state(seed=3)(data)
        assert all(torch.equal(one["position"], other["position"]) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("crop_classes", ["balanced", [1, 1, 1, 1]])
def test_by_class_too_voxels_to_be_ignored_are_no_centre(crop_classes: Any) -> None:
    label = torch.full((1, *SHAPE), float(IGNORED))
    label[..., [5, 15]] = 0
    label[0, 2, 3, 15] = 3
    position = torch.arange(SHAPE[2]).expand(1, *SHAPE)
    for labelled, expected in ((label, {5, 15}), (torch.full_like(label, IGNORED), {*range(SHAPE[2])})):
        crop = RandCropLabelledd(IGNORED, crop_classes, **arguments(num_samples=600)).set_random_state(seed=0)
        drawn = crop({"label": labelled, "position": position})
        assert {int(one["position"].unique()) for one in drawn} == expected
