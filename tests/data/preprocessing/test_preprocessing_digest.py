"""A digest of all that transforms compute: the same wherever they lie, another as soon as one thing differs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from monai.transforms import Affined, Compose, Flipd, Lambdad, ScaleIntensityd, SpatialPadd, Transform
from torch import nn

from scripts.data import CheckContrastd, ReadCased
from scripts.data.preprocessing.preprocessing_digest import preprocessing_digest
from scripts.files.file_digest import digest

LABELS = {"0": "background", "1": "liver"}


def steps(shift: float = 1.0, maximum: float = 1.0, labels: dict[str, str] = LABELS, axis: int = 0) -> list[Transform]:
    affine = torch.eye(4)
    affine[0, 3] = shift
    return [
        ReadCased(1, labels),
        ScaleIntensityd("image", 0.0, maximum),
        Affined("image", affine=affine, mode="nearest", padding_mode="zeros"),
        Compose([Flipd("image", spatial_axis=axis), SpatialPadd("image", (8, 8, 8))]),
        CheckContrastd(),
    ]


def test_equal_transforms_have_one_digest() -> None:
    assert preprocessing_digest(steps()) == preprocessing_digest(steps()) == preprocessing_digest(tuple(steps()))
    assert len(preprocessing_digest(steps())) == 64


OTHERS = {
    "a tensor": {"shift": 2.0},
    "a number": {"maximum": 0.9},
    "a label": {"labels": {"0": "background", "2": "liver"}},
    "inside a Compose": {"axis": 1},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_parameter_is_another_digest(other: dict) -> None:
    assert preprocessing_digest(steps(**other)) != preprocessing_digest(steps())


def test_order_number_and_further_objects_count() -> None:
    recipes = [steps(), steps()[::-1], steps()[:-1], [*steps(), CheckContrastd()], []]
    digests = {preprocessing_digest(recipe) for recipe in recipes} | {preprocessing_digest(steps(), nn.Linear(1, 1))}
    assert len(digests) == 6


@pytest.mark.parametrize("name", ["read_case.py", "nifti_placement.py", "geometry.py"])
def test_other_code_is_another_digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of what reads files without being a transform."""
    before, read = preprocessing_digest(steps()), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == name else b""))
    assert preprocessing_digest(steps()) != before


def test_other_code_of_a_further_object_is_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = preprocessing_digest(steps(), nn.Linear(1, 1)), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == "linear.py" else b""))
    assert preprocessing_digest(steps(), nn.Linear(1, 1)) != before


@pytest.mark.parametrize("library", ["monai", "torch", "nibabel"])
def test_another_version_of_a_library_is_another_digest(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = preprocessing_digest(steps())
    monkeypatch.setattr(f"{library}.__version__", "0.0.1")
    assert preprocessing_digest(steps()) != before


def test_the_digest_is_the_same_in_every_process() -> None:
    code = "from test_preprocessing_digest import *; print(preprocessing_digest(steps()))"
    path = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
    run = f"import sys; sys.path[:0] = {path!r}; {code}"
    assert subprocess.check_output([sys.executable, "-c", run], text=True).strip() == preprocessing_digest(steps())


def test_digesting_changes_nothing() -> None:
    recipe = steps()
    preprocessing_digest(recipe)
    volume = {"image": torch.arange(64.0).view(1, 4, 4, 4)}
    for step, fresh in zip(recipe[1:3], steps()[1:3], strict=True):
        assert torch.equal(step(dict(volume))["image"].as_tensor(), fresh(dict(volume))["image"].as_tensor())


def test_a_transform_that_cannot_be_told_apart_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"must be picklable, to tell when they change.*lambda"):
        preprocessing_digest([Lambdad("image", lambda image: image + 1)])


def test_parts_are_told_apart() -> None:
    """Neither their borders nor their number can move unseen."""
    parts = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("ab", "c", ""),
        ("", "ab", "c"),
        (b"\x00\x01", b"\x02"),
        (b"\x00", b"\x01\x02"),
    ]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest("a", "ü") == digest(b"a", "ü".encode())


def test_arrays_count_by_their_numbers() -> None:
    def recipe(value: float) -> list[Transform]:
        return [Affined("image", affine=np.diag([value, 1, 1, 1]))]

    assert preprocessing_digest(recipe(1.0)) == preprocessing_digest(recipe(1.0)) != preprocessing_digest(recipe(1.1))
