"""A few voxels of the file's grid stand for all: sums over structures are right, also of a small one."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, Spacingd, SpatialPadd

from scripts.data import LogitsToClassesd, ResizeInPlaned, SampleVoxelsd

SHAPE = (90, 76, 30)


@pytest.fixture(scope="module")
def transform() -> Compose:
    """Turns, resamples, scales and pads."""
    return Compose(
        [
            Orientationd("image", axcodes="RPS", labels=None),
            Spacingd("image", pixdim=[1.5, 1.25, 3.5]),
            ResizeInPlaned("image", spatial_size=[112, 96]),
            SpatialPadd("image", spatial_size=[112, 96, -1]),
        ]
    )


@pytest.fixture(scope="module")
def case(transform: Compose) -> dict[str, Any]:
    """With logits of a common structure and of one that few voxels show."""
    image = MetaTensor(torch.rand(1, *SHAPE), affine=torch.diag(torch.tensor([1.0, 1.2, 3.0, 1.0])))
    read = transform({"image": image})
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(1, 3, 14, 12, 6, generator=generator)
    logits = 8 * torch.nn.functional.interpolate(smooth, read["image"].shape[1:], mode="trilinear")[0]
    return {**read, "pred": MetaTensor(logits + torch.tensor([4.0, 0.0, -14.0]).view(3, 1, 1, 1))}


def in_the_file(case: dict[str, Any], transform: Compose, volume: torch.Tensor) -> torch.Tensor:
    """(C, ...) on the network's grid -> (C, voxels of the file)"""
    back = Invertd("volume", transform, orig_keys="image", nearest_interp=True)
    return back({**case, "volume": MetaTensor(volume)})["volume"].as_tensor().flatten(1)


@pytest.mark.parametrize("regions", [False, True])
def test_sums_are_those_over_all_voxels(case: dict[str, Any], transform: Compose, regions: bool) -> None:
    voxels = SampleVoxelsd(transform, regions)(case)["voxels"]
    chances = (lambda logits, axis: logits.sigmoid()) if regions else torch.softmax
    whole = in_the_file(case, transform, chances(case["pred"].as_tensor(), 0)).double().sum(1)
    assert 0 < whole[2] < 0.05 * whole[1]
    sums = voxels.weights.double() @ chances(voxels.logits.double(), 1)
    assert sums.tolist() == pytest.approx(whole.tolist(), rel=0.05)
    assert voxels.weights.sum().item() == pytest.approx(np.prod(SHAPE), rel=1e-4)
    assert len(voxels.places) == len(voxels.places.unique()) < 0.2 * np.prod(SHAPE)


def test_each_voxel_has_the_logits_that_its_label_comes_from(case: dict[str, Any], transform: Compose) -> None:
    voxels = SampleVoxelsd(transform, count=200)(case)["voxels"]
    classes = in_the_file(case, transform, LogitsToClassesd()(case)["pred"].as_tensor())[0]
    assert torch.equal(voxels.logits.argmax(1), classes[voxels.places].long())
    assert torch.equal(voxels.logits, in_the_file(case, transform, case["pred"].as_tensor())[:, voxels.places].T)


def test_the_same_logits_give_the_same_voxels_and_nothing_else_changes(case: dict[str, Any], transform: Compose) -> None:
    before = case["pred"].clone()
    first, second = (SampleVoxelsd(transform)(case) for _ in range(2))
    (*sample, disagreement), (*again, _) = first.pop("voxels"), second.pop("voxels")
    assert all(torch.equal(*pair) for pair in zip(sample, again, strict=True))
    assert disagreement is None  # of one network
    assert first.keys() == case.keys()
    assert all(first[key] is case[key] for key in case)
    assert torch.equal(case["pred"], before)


def test_a_stratum_that_is_small_is_taken_whole(transform: Compose, case: dict[str, Any]) -> None:
    voxels = SampleVoxelsd(transform, count=10**9)(case)["voxels"]
    assert torch.equal(voxels.places, torch.arange(np.prod(SHAPE)))
    assert voxels.weights.unique().tolist() == [1]
