"""Label maps among images are recognised by folder, name and values, and where these contradict each other it is said."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.data.cases.label_maps import is_label_map, label_maps

SHAPE = (24, 22, 9)
GENERATOR = np.random.default_rng(5)
NOISE = GENERATOR.integers(0, 1000, SHAPE)
GRADIENT = np.broadcast_to(np.arange(SHAPE[0])[:, None, None], SHAPE).astype(np.int16)


def organs(values: tuple[int, ...] = (1, 2)) -> np.ndarray:
    label = np.zeros(SHAPE, np.int32)
    for number, value in enumerate(values):
        label[3:18, 2 + 9 * number : 9 + 9 * number, 2:7] = value
    return label


THIN = np.zeros(SHAPE, np.uint8)
THIN[np.arange(20), np.arange(20), np.arange(20) % 8] = 1
ATLAS = np.kron(np.arange(6 * 7 * 4).reshape(6, 7, 4), np.ones((4, 3, 2)))  # 168 structures


@pytest.mark.parametrize(
    ("voxels", "named", "unnamed"),
    [
        (organs(), True, True),
        (organs((7, 2035)), True, True),
        (organs().astype(np.float32), True, True),
        (np.zeros(SHAPE), True, False),
        (np.full(SHAPE, 7), True, False),
        (organs() - 1, False, False),
        (organs() / 2, False, False),
        (organs() * np.nan, False, False),
        (NOISE, False, False),
        (NOISE % 100, True, False),  # counts of an emission scan
        (GRADIENT, True, False),
        (organs((1, 70000)), False, False),
        (THIN, True, True),
        (ATLAS, True, False),
        (NOISE // 2, False, False),
        (NOISE % 200, False, False),
    ],
)
def test_values_of_a_label_map_are_few_and_whole_and_form_regions(voxels: np.ndarray, named: bool, unnamed: bool) -> None:
    assert is_label_map(voxels[None], named=True) == named
    assert is_label_map(voxels[None]) == unnamed


def write(folder: Path, **files: np.ndarray) -> list[Path]:
    """Names with `__` for a slash; and a `2` at the end for another grid."""
    paths = []
    for name, voxels in files.items():
        path = folder / f"{name.replace('__', '/')}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels.astype(np.int16), np.diag([1, 1, 2 if name.endswith("2") else 1, 1])), path)
        paths.append(path)
    return paths


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("labelsTr__a", "imagesTr__a_0000"),
        ("labelsVa__a", "imagesVa__a"),
        ("Segmentation__a", "a"),
        ("p1__label", "p1__image"),
        ("a_seg", "a"),
        ("aMask_1", "a"),
        ("segmentation-0", "volume-0"),
        ("p1__liver", "p1__ct"),  # by content and grid alone
        ("truth__a", "scans__a"),
        ("second_reader__a", "scans__a_0000"),
    ],
)
def test_a_label_is_told_from_its_image(tmp_path: Path, label: str, image: str) -> None:
    paths = write(tmp_path, **{label: organs(), image: NOISE})
    assert label_maps(paths, tmp_path) == ({paths[0]}, {})


@pytest.mark.parametrize("name", ["con_seg", "mask scan", "a", "massegmentx"])
def test_an_image_stays_one_whatever_its_name(tmp_path: Path, name: str) -> None:
    paths = write(tmp_path, **{name: NOISE, "b": NOISE})
    assert label_maps(paths, tmp_path) == (set(), {})


@pytest.mark.parametrize(
    ("doubtful", "other"),
    [("labels__a", "scans__a"), ("p1__thing2", "p1__scan")],
    ids=["values of an image in a folder of labels", "values of a label on another grid"],
)
def test_where_it_cannot_be_told_the_file_is_refused(tmp_path: Path, doubtful: str, other: str) -> None:
    paths = write(tmp_path, **{doubtful: NOISE if "labels" in doubtful else organs(), other: NOISE})
    found, errors = label_maps(paths, tmp_path)
    assert found == set()
    assert errors.keys() == {paths[0]}
    assert errors[paths[0]].remedy


def test_a_single_image_of_few_values_is_an_image(tmp_path: Path) -> None:
    assert label_maps(write(tmp_path, a=organs()), tmp_path) == (set(), {})
