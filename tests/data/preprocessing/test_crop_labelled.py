"""Crops are centred on voxels that somebody labelled, and are MONAI's where nothing is ignored."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import RandCropByPosNegLabeld

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
