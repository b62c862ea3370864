"""Crops of cached embeddings are those of the uncached path: same numbers, same distribution."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from monai.transforms import Compose, RandCropByPosNegLabeld, ScaleIntensityd, SpatialPadd

from scripts.data import DrawEmbeddingsd, EmbeddingCache, EmbeddingStore, RandCropLabelledd, ReadCased, read_datalist
from scripts.data.embeddings.embedding_cache import _counts, name_of
from scripts.data.phantoms import LABELS
from scripts.losses import DeepSupervision
from scripts.networks import SAM3D, EmbeddingsToLogits

KEYS = ["image", "label"]
DEPTH, ROI = 15, 6
CASE = {"image": "a.nii.gz", "label": "b.nii.gz"}


class NumberedSlices:
    """A cache of one case in one view, whose slices hold their number. labelled: voxels of each slice, of 12."""

    def __init__(self, labelled: torch.Tensor) -> None:
        slices = torch.arange(len(labelled)).view(-1, 1, 1, 1)
        entry = {
            "embedding": slices.half(),
            "label": slices[..., 0].byte(),
            "counts": torch.stack([12 - labelled, labelled], 1),
        }
        self.with_pixels = False
        self.keys = {name_of(CASE): ["key"]}
        self.store = EmbeddingStore("memory")
        self.store.put("key", entry, {})


@pytest.fixture
def labelled() -> torch.Tensor:
    voxels = torch.zeros(DEPTH, dtype=torch.int64)
    voxels[[2, 8, 9]] = torch.tensor([1, 6, 3])
    return voxels


def starts(draw: DrawEmbeddingsd, number: int) -> np.ndarray:
    draw.set_random_state(seed=0)
    return np.array([int(draw(CASE)["label"][0, 0, 0, 0]) for _ in range(number)])


def test_crops_are_drawn_as_monai_draws_them(labelled: torch.Tensor) -> None:
    """The distribution over first slices, against RandCropByPosNegLabeld on a volume with these labels."""
    ours = starts(DrawEmbeddingsd(NumberedSlices(labelled), ROI, pos=2, neg=1), 4000)
    label = torch.zeros(1, 3, 4, DEPTH)
    for index, voxels in enumerate(labelled):
        label[0, ..., index].view(-1)[:voxels] = 1
    position = torch.arange(DEPTH).expand(1, 3, 4, DEPTH)
    crop = RandCropByPosNegLabeld(["position"], "label", spatial_size=(3, 4, ROI), pos=2, neg=1).set_random_state(seed=0)
    theirs = np.array([int(crop({"position": position, "label": label})[0]["position"].min()) for _ in range(2000)])
    frequencies = [np.bincount(drawn, minlength=DEPTH - ROI + 1) / len(drawn) for drawn in (ours, theirs)]
    assert np.abs(frequencies[0] - frequencies[1]).max() < 0.04  # four standard deviations


@pytest.mark.parametrize("crop_classes", ["balanced", [1, 1, 8], [0, 0, 1]])
def test_by_class_too_crops_are_drawn_as_without_the_cache(crop_classes: Any) -> None:
    """The distribution over first slices, of a rare class and a large one, against RandCropLabelledd."""
    label = torch.zeros(1, 3, 4, DEPTH)
    label[..., 7:12] = 1
    label[0, 1, 2, 3] = 2
    cache = NumberedSlices(torch.zeros(DEPTH, dtype=torch.int64))
    cache.store._memory["key"]["counts"] = _counts(label[0].movedim(-1, 0).byte(), None)
    ours = starts(DrawEmbeddingsd(cache, ROI, pos=2, neg=1, crop_classes=crop_classes), 4000)
    position = torch.arange(DEPTH).expand(1, 3, 4, DEPTH)
    size = {"spatial_size": (3, 4, ROI), "pos": 2, "neg": 1, "num_samples": 2000}
    crop = RandCropLabelledd(None, crop_classes, keys=["position"], label_key="label", **size).set_random_state(seed=0)
    theirs = np.array([int(one["position"].min()) for one in crop({"position": position, "label": label})])
    frequencies = [np.bincount(drawn, minlength=DEPTH - ROI + 1) / len(drawn) for drawn in (ours, theirs)]
    assert np.abs(frequencies[0] - frequencies[1]).max() < 0.05  # four standard deviations
    again = starts(DrawEmbeddingsd(cache, ROI, pos=2, neg=1, crop_classes=crop_classes), 50)
    assert again.tolist() == ours[:50].tolist()  # by the seed


@pytest.mark.parametrize("voxels", [0, 12], ids=["only background", "only labelled"])
def test_a_case_with_one_kind_of_voxel_is_cropped_anywhere(voxels: int) -> None:
    drawn = starts(DrawEmbeddingsd(NumberedSlices(torch.full((DEPTH,), voxels)), ROI, pos=2, neg=1), 200)
    assert set(drawn) == set(range(DEPTH - ROI + 1))


@pytest.mark.parametrize("flip_prob", [0.0, 1.0])
def test_image_and_label_are_the_same_slices_in_the_same_order(labelled: torch.Tensor, flip_prob: float) -> None:
    draw = DrawEmbeddingsd(NumberedSlices(labelled), ROI, pos=1, neg=1, flip_prob=flip_prob)
    for _ in range(20):
        item = draw(CASE)
        assert item["image"].shape == (1, 1, 1, ROI)
        assert torch.equal(item["image"], item["label"])
        assert set(item["label"].diff().flatten().tolist()) == {-1.0 if flip_prob else 1.0}
        assert item["image"].meta["filename_or_obj"] == "a.nii.gz"


def test_only_the_slices_of_the_crop_are_read(labelled: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = NumberedSlices(labelled)
    read = cache.store.read
    slices: list[int] = []

    def spy(key: str, name: str, start: int | None = None, stop: int | None = None) -> torch.Tensor:
        part = read(key, name, start, stop)
        slices.append(0 if name == "counts" else len(part))
        return part

    monkeypatch.setattr(cache.store, "read", spy)
    DrawEmbeddingsd(cache, ROI, pos=1, neg=1)(CASE)
    assert sum(slices) == 2 * ROI


def test_every_view_is_drawn(labelled: torch.Tensor) -> None:
    cache = NumberedSlices(labelled)
    cache.keys[name_of(CASE)] = ["key", "other"]
    cache.store.put("other", {name: cache.store.read("key", name) for name in ("embedding", "label", "counts")}, {})
    drawn: list[str] = []
    read = cache.store.read
    cache.store.read = lambda key, *rest: drawn.append(key) or read(key, *rest)
    draw = DrawEmbeddingsd(cache, ROI, pos=1, neg=1)
    for _ in range(40):
        draw(CASE)
    assert 0.2 < drawn.count("key") / len(drawn) < 0.8


def test_views_shallower_than_a_crop_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"at least roi_depth \(6\) slices, one has 5"):
        DrawEmbeddingsd(NumberedSlices(torch.ones(5, dtype=torch.int64)), ROI, pos=1, neg=1)(CASE)


def test_the_loss_is_that_of_the_uncached_path(narrow_network: SAM3D, phantoms: Path) -> None:
    """Same crop, same weights: within what half precision rounds away."""
    preprocessing = [ReadCased(1, LABELS), ScaleIntensityd("image"), SpatialPadd(KEYS, (48, 40, -1))]
    cases = read_datalist(phantoms)["training"].cases
    cache = EmbeddingCache(cases, preprocessing, [[]], narrow_network, torch.device("cpu"), EmbeddingStore("memory"))
    cache.fill()
    loss = DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), [8 / 15, 4 / 15, 2 / 15, 1 / 15])
    trained = EmbeddingsToLogits(narrow_network, plane=(48, 40)).train()
    for case in cases:
        cached = DrawEmbeddingsd(cache, ROI, pos=1, neg=0).set_random_state(seed=1)(case)
        volume = Compose(preprocessing)(case)
        start = next(s for s in range(99) if torch.equal(volume["label"][..., s : s + ROI].as_tensor(), cached["label"]))
        uncached = volume["image"][None, ..., start : start + ROI]
        labels = cached["label"][None]
        expected = loss(narrow_network(uncached), labels)
        assert abs(loss(trained(cached["image"][None]), labels) - expected) <= 1e-3 * expected


def test_where_all_of_a_view_is_to_be_ignored_any_slice_is_drawn() -> None:
    nothing = NumberedSlices(torch.zeros(DEPTH, dtype=torch.int64))
    (entry,) = nothing.store._memory.values()
    entry["counts"][:] = 0
    for crop_classes in (None, "balanced"):
        drawn = starts(DrawEmbeddingsd(nothing, ROI, pos=2, neg=1, crop_classes=crop_classes), 400)
        assert {*drawn.tolist()} == {*range(DEPTH - ROI + 1)}
