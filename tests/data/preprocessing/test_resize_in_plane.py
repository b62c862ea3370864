"""Slices of any size -> slices that fit a given size; and back without moving anything."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, MapTransform, Resized

from scripts.data import ResizeInPlane, ResizeInPlaned
from scripts.data.preprocessing import resize_in_plane

AFFINE = torch.tensor([[0, 2.0, 0, 10], [-1.5, 0, 0.3, -20], [0.2, 0, 3, 30], [0, 0, 0, 1]], dtype=torch.float64)


def volume(*shape: int) -> MetaTensor:
    return MetaTensor(torch.rand(1, *shape), affine=AFFINE)


def blob(*shape: int) -> MetaTensor:
    """A smooth, off-centre mask."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = sum(((x - c) / 0.5) ** 2 for x, c in zip(axes, (0.3, -0.2, 0.1), strict=True)) < 1
    return MetaTensor(inside[None].float(), affine=AFFINE)


def centroid(mask: torch.Tensor) -> np.ndarray:
    return np.argwhere(mask[0].numpy() > 0).mean(0)


def there_and_back(transform: MapTransform, mask: MetaTensor) -> torch.Tensor:
    """A mask drawn at the enlarged or reduced size, brought back as predictions are."""
    preprocessing = Compose([transform])
    data = preprocessing({"image": mask})
    data["pred"] = MetaTensor((data["image"].as_tensor() > 0.5).float())
    return Invertd("pred", preprocessing, orig_keys="image", nearest_interp=True)(data)["pred"].as_tensor()


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((20, 30, 7), (60, 60), (40, 60)),
        ((30, 20, 7), (60, 60), (60, 40)),
        ((20, 30, 7), (10, 60), (10, 15)),
        ((100, 51, 3), (32, 32), (32, 16)),
        ((64, 64, 1), (64, 64), (64, 64)),
        ((500, 3, 2), (32, 32), (32, 1)),
    ],
)
def test_the_plane_fits_and_keeps_its_aspect_and_the_depth_stays(
    shape: tuple[int, ...], size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert ResizeInPlane(size)(volume(*shape)).shape == (1, *expected, shape[2])


@pytest.mark.parametrize("shape", [(20, 31, 5), (33, 17, 3), (90, 64, 4)])
def test_slices_do_not_mix(shape: tuple[int, int, int]) -> None:
    resize, whole = ResizeInPlane((48, 48)), volume(*shape)
    torch.testing.assert_close(resize(whole)[..., 1:2].as_tensor(), resize(whole[..., 1:2]).as_tensor())


@pytest.mark.parametrize("shape", [(20, 31, 5), (90, 64, 4)])
def test_the_centre_keeps_its_place_in_the_world(shape: tuple[int, int, int]) -> None:
    before = volume(*shape)
    after = ResizeInPlane((48, 48))(before)
    corners = ([-0.5] * 3, [n - 0.5 for n in shape]), ([-0.5] * 3, [n - 0.5 for n in after.shape[1:]])
    world = [
        [tensor.affine @ torch.tensor([*c, 1.0], dtype=torch.float64) for c in cs]
        for tensor, cs in zip((before, after), corners, strict=True)
    ]
    torch.testing.assert_close(world[1], world[0], atol=1e-4, rtol=0)  # both outer corners, so the centre and the extent


@pytest.mark.parametrize("shape", [(20, 31, 5), (33, 17, 3), (47, 48, 2), (5, 7, 4), (48, 48, 3)])
def test_an_enlarged_label_comes_back_identical(shape: tuple[int, int, int]) -> None:
    label = MetaTensor(torch.randint(0, 5, (1, *shape)).float(), affine=AFFINE)
    preprocessing = Compose([ResizeInPlaned("image", (48, 48), mode="nearest-exact")])
    data = preprocessing({"image": label})
    data["pred"] = MetaTensor(data["image"].as_tensor())
    back = Invertd("pred", preprocessing, orig_keys="image", nearest_interp=True)(data)["pred"]
    assert torch.equal(back.as_tensor(), label.as_tensor())
    torch.testing.assert_close(back.affine, AFFINE, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(40, 33, 6), (100, 83, 6)])
def test_inverting_does_not_shift_a_mask(shape: tuple[int, int, int]) -> None:
    mask = blob(*shape)
    ours = centroid(there_and_back(ResizeInPlaned("image", (64, 64)), mask)) - centroid(mask)
    assert np.abs(ours).max() < 0.15  # pixels; a reduced mask cannot be drawn finer
    plain_size = ResizeInPlane((64, 64))(mask).shape[1:]
    plain = centroid(there_and_back(Resized("image", plain_size), mask)) - centroid(mask)
    assert np.abs(plain).max() > 0.4  # MONAI's own inversion shifts it: this test can fail


def test_each_key_has_its_own_interpolation() -> None:
    image, label = volume(10, 10, 2), MetaTensor((torch.rand(1, 10, 10, 2) > 0.5).float())
    data = ResizeInPlaned(["image", "label"], (25, 25), mode=["trilinear", "nearest-exact"])({"image": image, "label": label})
    assert set(data["label"].unique().tolist()) == {0.0, 1.0}
    assert len(data["image"].unique()) > image.numel()


def test_threads_that_share_it_resize_each_volume_to_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    both_know_their_size = Barrier(2)
    original = resize_in_plane.resize

    def resize(*arguments: Any) -> torch.Tensor:
        both_know_their_size.wait()
        return original(*arguments)

    monkeypatch.setattr(resize_in_plane, "resize", resize)
    volumes = [volume(20, 30, 7), volume(60, 24, 3)]
    with ThreadPoolExecutor(2) as pool:
        sizes = [resized.shape[1:] for resized in pool.map(ResizeInPlane((48, 48)), volumes)]
    assert sizes == [(32, 48, 7), (48, 19, 3)]


def test_use_leaves_nothing_behind() -> None:
    """By their parameters cached embeddings are known."""
    resize = ResizeInPlane((48, 48))
    before = dict(vars(resize))
    resize(volume(20, 30, 7))
    assert {key: vars(resize)[key] for key in before} == before
