"""A seed -> labelled volumes on oblique, anisotropic grids, in three storage orders."""

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.data.cases.datalist import list_cases, read_json
from scripts.data.phantoms import LABELS, ORIENTATIONS, SPACING, phantom, write_phantoms

PARTS = ("training", "validation", "test")


def digests(folder: Path) -> dict[str, str]:
    """Of every file's content: voxels and header of a volume, since gzip may store the time."""

    def content(file: Path) -> bytes:
        if file.suffix == ".json":
            return file.read_bytes()
        volume = nib.load(file)
        return volume.header.binaryblock + np.asanyarray(volume.dataobj).tobytes()

    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(content(file)).hexdigest() for file in files}


def volumes(folder: Path) -> list[tuple[nib.Nifti1Image, nib.Nifti1Image]]:
    path = folder / "dataset.json"
    cases = [case for part in PARTS for case in list_cases(path, read_json(path), part, labelled=True).cases]
    return [(nib.load(case["image"]), nib.load(case["label"])) for case in cases]


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    counts = {"training": 2, "test": 1}
    for name, seed in (("a", 0), ("same", 0), ("other", 1)):
        write_phantoms(tmp_path / name, counts, shape=(20, 16, 8), seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "same")
    first, other = digests(tmp_path / "a"), digests(tmp_path / "other")
    assert [name for name in first if first[name] == other[name]] == ["dataset.json"]


def test_each_part_has_its_number_of_cases(phantoms: Path) -> None:
    content = json.loads((phantoms / "dataset.json").read_text())
    assert [len(content[part]) for part in PARTS] == [4, 2, 2]
    assert content["labels"] == LABELS
    assert len({case["image"] for part in PARTS for case in content[part]}) == 8


def test_the_storage_orders_take_turns(phantoms: Path) -> None:
    stored = ["".join(nib.aff2axcodes(image.affine)) for image, _ in volumes(phantoms)]
    assert stored == [ORIENTATIONS[i % 3] for i in range(8)]
    assert len(set(ORIENTATIONS)) == 3


def test_image_and_label_share_their_grid(phantoms: Path) -> None:
    for image, label in volumes(phantoms):
        assert image.shape == label.shape
        assert np.array_equal(image.affine, label.affine)


def test_grids_are_oblique_and_anisotropic_and_differ(phantoms: Path) -> None:
    affines = [nib.as_closest_canonical(image).affine for image, _ in volumes(phantoms)]
    for affine in affines:
        np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), SPACING, rtol=1e-5)
        assert np.abs(affine[:3, :3] / SPACING).max(0).max() < 0.9999  # no column along an axis of the world
    assert len({affine.tobytes() for affine in affines}) == len(affines)


@pytest.mark.parametrize("shape", [(32, 28, 12), (64, 56, 20)])
def test_every_label_is_there_and_away_from_the_border(shape: tuple[int, int, int]) -> None:
    for seed in range(10):
        image, label = phantom(np.random.default_rng(seed), shape)
        assert (image.shape, image.dtype, label.dtype) == (shape, np.int16, np.uint8)
        assert np.bincount(label.ravel(), minlength=4).min() > 20
        assert np.count_nonzero(label[1:-1, 1:-1, 1:-1]) == np.count_nonzero(label)


def test_organs_differ_in_intensity() -> None:
    image, label = phantom(np.random.default_rng(0), (64, 56, 20))
    means = [image[label == value].mean() for value in range(len(LABELS))]
    assert means == sorted(means)
