"""Public layouts -> the pairs that are due, without an option and by patterns, and never a label among the images."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from scripts.data.onboarding.write_dataset import write_dataset

from .layouts import LAYOUTS, SHAPE, Layout


def understood(
    folder: Path, layout: Layout, **options: Any
) -> tuple[set[tuple[tuple[str, ...], str | None]], dict[str, Any], str]:
    """The pairs in the dataset.json, all of it, and what was printed."""
    if layout.content:
        (folder / "dataset.json").write_text(json.dumps(layout.content))
    path, printed = write_dataset(folder, overwrite=True, **options)
    content = json.loads(path.read_text())
    pairs = set()
    for case in content["training"] + content["validation"]:
        images = case["image"] if isinstance(case["image"], list) else [case["image"]]
        label = case["label"].removeprefix("./")
        pairs.add((tuple(image.removeprefix("./") for image in images), None if "labels_merged" in label else label))
    return pairs, content, printed


def due(layout: Layout) -> set[tuple[tuple[str, ...], str | None]]:
    return {(tuple(image.removesuffix("/0.dcm") for image in images), label) for images, label in layout.pairs()}


def test_there_are_as_many_layouts_as_were_promised() -> None:
    print(f"{len(LAYOUTS)} layouts")
    assert len({layout.name for layout in LAYOUTS}) >= 57


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_public_layout_is_understood_without_an_option(tmp_path: Path, layout: Layout) -> None:
    layout.write(tmp_path)
    if layout.refused:
        with pytest.raises(ValueError, match=layout.refused):
            understood(tmp_path, layout)
        return
    pairs, content, printed = understood(tmp_path, layout)
    assert pairs == due(layout)
    test = {
        image for case in content["test"] for image in ([case["image"]] if isinstance(case["image"], str) else case["image"])
    }
    assert test <= {f"./{name}" for name in layout.unlabelled}
    assert all(word in printed for word in ("labels ", "channels ", "subjects ", "example "))
    for name in {*layout.unlabelled} - {name.removeprefix("./") for name in test}:
        assert name in printed  # what is left out is named


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if not layout.refused], ids=lambda layout: layout.name)
def test_a_public_layout_is_understood_by_patterns(tmp_path: Path, layout: Layout) -> None:
    layout.write(tmp_path)
    pairs, _, _ = understood(tmp_path, layout, patterns=layout.asked())
    assert pairs == due(layout)


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (lambda voxels, path: nib.save(nib.AnalyzeImage(voxels, None), path), "Analyze 7.5.*convert it to NIfTI"),
        (
            lambda voxels, path: nib.save(
                nib.Nifti1Pair(np.stack([voxels == 0, voxels == 1], -1).astype(np.uint8), np.eye(4)), path
            ),
            "one value for each voxel; it has 2 channels; write one volume of label values",
        ),
    ],
    ids=["Analyze", "one-hot"],
)
def test_labels_that_cannot_be_used_are_refused_each_with_what_to_do(tmp_path: Path, save: Any, words: str) -> None:
    layout = next(layout for layout in LAYOUTS if layout.name == "iseg17")
    layout.write(tmp_path)
    labels = sorted(tmp_path.rglob("*label.hdr"))
    for path in labels:
        save(np.asarray(nib.load(path).dataobj).astype(np.int16), path)
    with pytest.raises(ValueError, match=words) as caught:
        understood(tmp_path, layout)
    assert all(str(path) in str(caught.value) for path in labels)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.structures], ids=lambda layout: layout.name)
def test_structures_become_one_label_map_whose_overlaps_are_said(tmp_path: Path, layout: Layout) -> None:
    layout.write(tmp_path)
    _, content, printed = understood(tmp_path, layout)
    assert len(content["labels"]) == 1 + len(layout.structures)
    for name in list(content["labels"].values())[1:]:
        assert any(name in path.lower() for path in layout.structures), name
    assert printed.count("overlap in ") == len(layout.structures) - 1
    merged = np.asanyarray(nib.load(tmp_path / content["training"][0]["label"]).dataobj)
    assert merged.shape == SHAPE
    assert set(np.unique(merged)) == set(range(1 + len(layout.structures)))
