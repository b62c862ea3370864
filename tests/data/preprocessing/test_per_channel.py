"""Each channel by its own transform, in its place; everything else of the image stays."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityRanged, ScaleIntensityRangePercentilesd

from scripts.data import PerChanneld, per_channel
from scripts.data.preprocessing.preprocessing_digest import preprocessing_digest


def window(low: float = -160.0) -> ScaleIntensityRanged:
    return ScaleIntensityRanged("image", a_min=low, a_max=240, b_min=0, b_max=1, clip=True)


def percentiles() -> ScaleIntensityRangePercentilesd:
    return ScaleIntensityRangePercentilesd("image", lower=1, upper=99, b_min=0, b_max=1, clip=True, channel_wise=True)


@pytest.fixture
def image() -> MetaTensor:
    voxels = torch.randn(2, 6, 5, 4) * 300
    voxels[1] = voxels[1] * 20 + 9000
    affine = torch.diag(torch.tensor([1.0, 2, 3, 1], dtype=torch.float64))
    return MetaTensor(voxels, affine=affine, meta={"filename_or_obj": "scan.nii.gz"})


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_every_channel_is_scaled_by_its_own_transform(image: MetaTensor, order: tuple[int, int]) -> None:
    """The transforms by hand, in float64."""
    before = image.clone()
    case = {"image": image, "label": "as it is"}
    scaled = PerChanneld([(window(), percentiles())[number] for number in order])(case)
    for channel, number in enumerate(order):
        voxels = image[channel].numpy().astype(np.float64)
        low, high = (-160, 240) if number == 0 else np.percentile(voxels, (1, 99))
        expected = ((voxels - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(scaled["image"][channel].numpy(), expected, atol=1e-5)
    assert scaled["label"] == "as it is"
    assert torch.equal(case["image"], before)
    assert scaled["image"].affine.equal(image.affine)
    assert scaled["image"].meta["filename_or_obj"] == "scan.nii.gz"
    assert scaled["image"].shape == image.shape


def test_one_transform_serves_all_channels_as_it_is() -> None:
    transform = percentiles()
    assert per_channel(transform) is transform


@pytest.mark.parametrize("number", [1, 3])
def test_another_number_of_transforms_than_channels_is_refused(image: MetaTensor, number: int) -> None:
    with pytest.raises(ValueError, match=f"a transform for each channel, got {number} for 2"):
        PerChanneld([window()] * number)({"image": image})


def test_cached_embeddings_are_known_by_what_every_channel_goes_through() -> None:
    digests = [preprocessing_digest([per_channel([window(low), percentiles()])]) for low in (-160, -160, -100)]
    assert digests[0] == digests[1] != digests[2]
    assert preprocessing_digest([per_channel([percentiles(), window()])]) not in digests
