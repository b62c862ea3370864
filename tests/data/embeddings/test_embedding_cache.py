"""Embeddings are computed once, for exactly what they depend on."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import NARROW
from monai.transforms import (
    Affined,
    Compose,
    Flipd,
    Lambdad,
    RandFlipd,
    ScaleIntensityd,
    SpatialPadd,
    Transform,
)
from torch import nn

from scripts.data import EmbeddingCache, EmbeddingStore, ReadCased, read_datalist
from scripts.data.embeddings.embedding_cache import name_of
from scripts.data.phantoms import LABELS
from scripts.networks import SAM3D, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

KEYS = ["image", "label"]
FLIPPED = [Flipd(KEYS, spatial_axis=0)]


@pytest.fixture
def dataset(tmp_path: Path, phantoms: Path) -> list[dict[str, Any]]:
    """Copies of two cases, which a test may change."""
    cases = read_datalist(phantoms)["training"].cases[:2]
    for case in cases:
        for key in KEYS:
            case[key] = str((tmp_path / f"{key}_{Path(case[key]).name}").absolute())
            source = next(phantoms.rglob(f"{key}s*/{Path(case[key]).name.removeprefix(f'{key}_')}"))
            Path(case[key]).write_bytes(source.read_bytes())
    return cases


def preprocessing(maximum: float = 1.0) -> list[Transform]:
    return [
        ReadCased(1, LABELS),
        ScaleIntensityd("image", 0.0, maximum),
        SpatialPadd(KEYS, (48, 48, 12)),
    ]


def fill(
    cases: list[dict[str, Any]],
    encoder: nn.Module,
    folder: Path | str,
    steps: list[Transform] | None = None,
    views: Any = ([],),
) -> tuple[EmbeddingCache, int]:
    """The filled cache, and how many volumes were encoded for it."""
    encoded: list[int] = []
    hook = encoder.register_forward_hook(lambda *_: encoded.append(1))
    cache = EmbeddingCache(
        cases, steps or preprocessing(), views, SAM3D(encoder, nn.Identity()), torch.device("cpu"), EmbeddingStore(folder)
    )
    cache.fill()
    hook.remove()
    return cache, len(encoded)


def test_an_entry_is_the_encoder_s_embedding_and_the_label_of_the_view(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    cache, _ = fill(dataset, narrow_encoder, tmp_path / "cache", views=[[], FLIPPED])
    for case in dataset:
        for key, flipped in zip(cache.keys[name_of(case)], (False, True), strict=True):
            volume = nib.load(case["image"]).get_fdata(dtype="float32")
            volume = torch.tensor((volume - volume.min()) / (volume.max() - volume.min()))
            label = torch.tensor(nib.load(case["label"]).get_fdata())
            padding = [n for size, want in zip(volume.shape[::-1], (12, 48, 48), strict=True) for n in halves(want - size)]
            volume, label = nn.functional.pad(volume, padding), nn.functional.pad(label, padding)
            if flipped:
                volume, label = volume.flip(0), label.flip(0)
            expected = narrow_encoder(volume[None, None])[0].movedim(-1, 0)
            stored = cache.store.read(key, "embedding")
            assert stored.dtype == torch.half
            torch.testing.assert_close(stored.float(), expected, atol=1e-3 * float(expected.abs().max()), rtol=0)
            assert torch.equal(cache.store.read(key, "label").double(), label.movedim(-1, 0))
            assert stored.nbytes == 2 * math.prod(volume.shape)  # 2 bytes for every voxel of the encoder's input


def halves(padding: int) -> tuple[int, int]:
    padding = max(padding, 0)
    return padding // 2, padding - padding // 2


@pytest.mark.parametrize("in_memory", [True, False])
def test_counts_are_the_voxels_of_every_class_in_every_slice(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path, in_memory: bool
) -> None:
    cache, _ = fill(dataset, narrow_encoder, "memory" if in_memory else tmp_path / "cache")
    key = cache.keys[name_of(dataset[0])][0]
    label, counts = cache.store.read(key, "label"), cache.store.read(key, "counts")
    assert counts.tolist() == [[int((s == value).sum()) for value in range(4)] for s in label]
    assert counts.any(0).all()


def test_nothing_is_computed_twice(dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path) -> None:
    first, encoded = fill(dataset, narrow_encoder, tmp_path / "cache", views=[[], FLIPPED])
    assert encoded == 4
    second, encoded = fill(dataset[::-1], narrow_encoder, tmp_path / "cache", views=[[], [Flipd(KEYS, spatial_axis=0)]])
    assert encoded == 0
    assert second.keys == first.keys


def change_image(case: dict[str, Any]) -> None:
    image = nib.load(case["image"])
    data = image.get_fdata()
    data[3, 4, 5] += 1
    nib.save(nib.Nifti1Image(data, image.affine), case["image"])


def change_label(case: dict[str, Any]) -> None:
    label = nib.load(case["label"])
    nib.save(nib.Nifti1Image(label.get_fdata()[::-1].astype("uint8"), label.affine), case["label"])


@pytest.mark.parametrize("change", [change_image, change_label])
def test_a_changed_file_is_encoded_again_and_only_that(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path, change: Any
) -> None:
    before, _ = fill(dataset, narrow_encoder, tmp_path / "cache")
    change(dataset[0])
    after, encoded = fill(dataset, narrow_encoder, tmp_path / "cache")
    assert encoded == 1
    assert after.keys[name_of(dataset[0])] != before.keys[name_of(dataset[0])]
    assert after.keys[name_of(dataset[1])] == before.keys[name_of(dataset[1])]


def test_other_weights_parameters_or_views_are_other_entries(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    other_encoder = SAMSliceEncoder(NARROW)
    fill_at_random(other_encoder, seed=1)
    arguments = [
        (narrow_encoder, preprocessing(), [[]]),
        (other_encoder, preprocessing(), [[]]),
        (narrow_encoder, preprocessing(maximum=0.9), [[]]),
        (narrow_encoder, preprocessing(), [FLIPPED]),
        (narrow_encoder, preprocessing(), [[Flipd(KEYS, spatial_axis=1)]]),
    ]
    results = [fill(dataset, encoder, tmp_path / "cache", steps, views) for encoder, steps, views in arguments]
    assert [encoded for _, encoded in results] == [2] * 5
    assert len({key for cache, _ in results for keys in cache.keys.values() for key in keys}) == 10


@pytest.mark.parametrize(
    "changed",
    [
        "sam_encoder.py",
        pytest.param("slicewise_encoder.py", id="what it inherits"),
        pytest.param("windows.py", id="a function that it calls"),
        pytest.param("image_encoder.py", id="segment_anything's"),
    ],
)
def test_other_code_makes_other_entries(
    dataset: list[dict[str, Any]],
    narrow_encoder: SAMSliceEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
) -> None:
    fill(dataset, narrow_encoder, tmp_path / "cache")
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == changed else b""))
    assert fill(dataset, narrow_encoder, tmp_path / "cache")[1] == 2


def test_a_damaged_entry_is_computed_again(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    cache, _ = fill(dataset, narrow_encoder, tmp_path / "cache")
    key = cache.keys[name_of(dataset[1])][0]
    expected = cache.store.read(key, "embedding").clone()
    path = tmp_path / "cache" / f"{key}.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    cache, encoded = fill(dataset, narrow_encoder, tmp_path / "cache")
    assert encoded == 1
    assert torch.equal(cache.store.read(key, "embedding"), expected)


def test_entries_that_exchange_their_names_are_computed_again(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, _ = fill(dataset, narrow_encoder, tmp_path / "cache")
    keys = [cache.keys[name_of(case)][0] for case in dataset]
    expected = [cache.store.read(key, "embedding").clone() for key in keys]
    first, second = (tmp_path / "cache" / f"{key}.safetensors" for key in keys)
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    cache, encoded = fill(dataset, narrow_encoder, tmp_path / "cache")
    assert encoded == 2
    assert caplog.text.count("is damaged, or another's, and is computed again") == 2
    assert all(torch.equal(cache.store.read(key, "embedding"), e) for key, e in zip(keys, expected, strict=True))


def test_another_kind_of_device_makes_other_entries(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be no GPU here, so nothing is encoded."""
    monkeypatch.setattr(EmbeddingCache, "_compute", lambda *_: None)
    network = SAM3D(narrow_encoder, nn.Identity())
    keys = []
    for device in ("cpu", "cuda:0", "cuda:1"):
        cache = EmbeddingCache(dataset, preprocessing(), [[]], network, device, EmbeddingStore("memory"))
        cache.fill()
        keys.append(cache.keys)
    assert keys[1] == keys[2]
    assert all(keys[0][name] != keys[1][name] for name in keys[0])


def test_embeddings_beyond_half_precision_are_refused_by_the_case_s_name(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder
) -> None:
    with torch.no_grad():
        narrow_encoder.image_encoder.neck[3].weight.fill_(1e6)
    with pytest.raises(
        ValueError, match=f"{dataset[0]['image']}: embeddings must fit into half precision.*without cached.yaml"
    ):
        fill(dataset, narrow_encoder, "memory")


def test_one_image_with_the_labels_of_two_readers_is_two_cases(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder
) -> None:
    cases = [dataset[0], {**dataset[0], "label": f"{dataset[0]['label']}.second.nii.gz"}]
    Path(cases[1]["label"]).write_bytes(Path(cases[0]["label"]).read_bytes())
    change_label(cases[1])
    cache, encoded = fill(cases, narrow_encoder, "memory")
    first, second = (cache.store.read(cache.keys[name_of(case)][0], "label") for case in cases)
    assert encoded == 2
    assert not torch.equal(first, second)


def test_keys_depend_on_what_a_transform_holds_not_on_where_it_lies(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    """Also inside a Compose, and of tensors, whose pickle holds an address."""

    def view(shift: float) -> list[Transform]:
        affine = torch.eye(4)
        affine[0, 3] = shift
        return [Compose([Affined(KEYS, affine=affine, mode="nearest", padding_mode="zeros"), Compose(FLIPPED)])]

    encoded = [fill(dataset, narrow_encoder, tmp_path / "cache", views=[view(shift)])[1] for shift in (1.0, 1.0, 2.0)]
    assert encoded == [2, 0, 2]


def test_a_transform_that_cannot_be_told_apart_is_refused_in_words(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder
) -> None:
    with pytest.raises(ValueError, match=r"must be picklable, to tell when they change.*lambda"):
        fill(dataset, narrow_encoder, "memory", views=[[Lambdad("image", lambda image: image + 1)]])


@pytest.mark.parametrize(
    ("views", "trainable", "message"),
    [
        ([], False, "cached_views must hold at least one view"),
        ([[Compose([RandFlipd(KEYS)])]], False, "must be deterministic, RandFlipd is not"),
        ([[]], True, "only while all of the encoder is frozen"),
    ],
)
def test_what_cannot_be_cached_is_refused_in_words(views: Any, trainable: bool, message: str) -> None:
    encoder = SAMSliceEncoder(NARROW, trainable=trainable)
    with pytest.raises(ValueError, match=message):
        EmbeddingCache([], preprocessing(), views, SAM3D(encoder, nn.Identity()), torch.device("cpu"), EmbeddingStore("memory"))


def test_voxels_to_be_ignored_count_as_no_class(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    """Of the phantom's classes the last one."""
    network = SAM3D(narrow_encoder, nn.Identity())
    cache = EmbeddingCache(dataset, preprocessing(), [[]], network, "cpu", EmbeddingStore(tmp_path), ignore_index=3)
    cache.fill()
    key = cache.keys[name_of(dataset[0])][0]
    label, counts = cache.store.read(key, "label"), cache.store.read(key, "counts")
    assert (label == 3).any()
    assert counts.tolist() == [[int((s == value).sum()) for value in range(3)] for s in label]


def test_label_sets_are_kept_and_another_annotation_is_another_entry(
    dataset: list[dict[str, Any]], narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    steps = [ReadCased(1, LABELS, True), ScaleIntensityd("image"), SpatialPadd(KEYS, (48, 48, 12))]
    case = dataset[0]
    stored = nib.load(case["label"])
    voxels = np.where(np.asarray(stored.dataobj) == 1, 1, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(voxels, stored.affine), case["label"])
    keys = []
    for said in ({}, {"annotated": ["liver"], "label_set": 0}, {"annotated": ["liver"], "label_set": 4}):
        cache, count = fill([{**case, **said}], narrow_encoder, tmp_path / "cache", steps)
        ((key,),) = cache.keys.values()
        keys.append(key)
        label, counts = (cache.store.read(key, name) for name in ("label", "counts"))
        background = -1 - said["label_set"] if said else 0
        assert (count, sorted(label.unique().tolist())) == (1, sorted({0, 1, background}))  # 0: padding
        assert counts.sum(0).tolist() == [48 * 48 * 12 - voxels.sum(), voxels.sum()]
    assert len(set(keys)) == 3
