"""Folders of masks of any tool -> cases, and what their values mean."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from scripts.data import CaseError
from scripts.data.masks.mask_labels import find_labels
from scripts.data.masks.pair_masks import MaskPair, pair_masks
from scripts.data.masks.read_masks import read_masks


def write(folder: Path, *names: str, voxels: Any = None, affine: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3 if voxels is None else voxels
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, np.eye(4) if affine is None else affine), folder / name)
    return folder


@pytest.mark.parametrize(
    ("mask", "reference", "images"),
    [
        ("case_1.nii.gz", "case_1.nii.gz", ["case_1_0000.nii.gz", "case_1_0001.nii.gz"]),  # nnU-Net
        ("case_1_seg.nii.gz", "case_1.nii.gz", ["case_1.nii.gz"]),  # this bundle
        ("case_1_seg.nii.gz", "case_1_gt.nii.gz", ["case_1.nii.gz"]),  # ACDC's labels
        ("p1/case_1_seg.nii.gz", "p1/case_1.nii.gz", ["p1/case_1.nii.gz"]),
    ],
)
def test_files_are_paired_across_the_conventions_of_tools(tmp_path: Path, mask: str, reference: str, images: list[str]) -> None:
    masks = write(tmp_path / "masks", mask, mask.replace("1", "2"))
    references = write(tmp_path / "labels", *(reference.replace("1", number) for number in "123"))
    pictures = write(tmp_path / "images", *(image.replace("1", number) for image in images for number in "123"))
    found = pair_masks(masks, references, pictures)
    assert [pair.mask for pair in found.pairs] == [masks / mask, masks / mask.replace("1", "2")]
    assert [pair.reference for pair in found.pairs] == [references / reference, references / reference.replace("1", "2")]
    assert [pair.image for pair in found.pairs] == [pictures / images[0], pictures / images[0].replace("1", "2")]
    assert [pair.name for pair in found.pairs] == [name.removesuffix(".nii.gz") for name in (mask, mask.replace("1", "2"))]
    assert found.missing == [references / reference.replace("1", "3")]
    assert found.refused == []


def test_what_has_no_one_partner_is_refused_and_maps_are_no_masks(tmp_path: Path) -> None:
    masks = write(
        tmp_path / "masks",
        "a.nii.gz",
        "b.nii.gz",
        "b_seg.nii.gz",
        "zzz.nii.gz",
        "a_probability_liver.nii.gz",
        "a_entropy.nii.gz",
    )
    references = write(tmp_path / "labels", "a.nii.gz", "b.nii.gz")
    found = pair_masks(masks, references)
    assert [(pair.name, pair.image) for pair in found.pairs] == [("a", None)]
    said = {Path(refused.case["image"]).name: str(refused.error) for refused in found.refused}
    assert set(said) == {"b.nii.gz", "b_seg.nii.gz", "zzz.nii.gz"}
    assert "by their names these are one case: b.nii.gz, b.nii.gz, b_seg.nii.gz" in said["b.nii.gz"]
    assert f"no name in {references} is like its own" in said["zzz.nii.gz"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(CaseError, match="must hold images"):
        pair_masks(tmp_path / "masks", write(tmp_path / "labels", "a.nii.gz"))


@pytest.fixture
def pair(tmp_path: Path) -> MaskPair:
    write(tmp_path, "mask.nii.gz", "reference.nii.gz")
    return MaskPair("a", tmp_path / "mask.nii.gz", tmp_path / "reference.nii.gz", None)


def test_a_mask_stored_along_other_axes_is_turned_onto_its_reference(pair: MaskPair) -> None:
    stored = nib.load(pair.mask)
    nib.save(stored.as_reoriented(np.array([[1, -1], [0, 1], [2, -1]])), pair.mask)
    read, notes = read_masks(pair, {0, 1, 2})
    np.testing.assert_array_equal(read["pred"].numpy(), read["reference"].numpy())
    assert "it is turned" in notes[0][1].found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"voxels": np.zeros((2, 3, 5), np.uint8)}, "mask.nii.gz: all files of a case must lie on one grid"),
        ({"affine": np.diag([1, 1, 2, 1.0])}, "mask.nii.gz: all files of a case must lie on one grid"),
        ({"voxels": np.full((2, 3, 4), 7, np.uint8)}, "may hold the values 0, 1, 2; found 7"),
        ({"voxels": np.full((2, 3, 4), 0.5, np.float32)}, "labels must be whole numbers; found 0.5"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(pair: MaskPair, change: dict[str, Any], said: str) -> None:
    write(pair.mask.parent, pair.mask.name, **change)
    with pytest.raises(CaseError) as error:
        read_masks(pair, {0, 1, 2})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "given", "labels", "ignored", "regions"),
    [
        ({"0": "background", "2": "liver"}, {}, {"0": "background", "2": "liver"}, [], {}),  # the Decathlon's, ours
        ({"background": 0, "liver": 2}, {}, {"0": "background", "2": "liver"}, [], {}),  # nnU-Net's
        ({"background": 0, "liver": 2, "ignore": 3}, {}, {"0": "background", "2": "liver"}, [3], {}),
        (
            {"background": 0, "whole": [1, 2], "core": [2]},
            {1: "oedema"},
            {"0": "background", "1": "oedema", "2": "label_2"},
            [],
            {"whole": [1, 2], "core": [2]},
        ),
        (None, {}, {"0": "background", "1": "label_1", "2": "label_2"}, [], {}),  # by the voxels
        (None, {1: "liver"}, {"0": "background", "1": "liver"}, [], {}),
    ],
)
def test_labels_are_those_of_the_list_or_of_the_user_or_of_the_voxels(
    pair: MaskPair,
    content: dict[str, Any] | None,
    given: dict[int, str],
    labels: dict[str, str],
    ignored: list[int],
    regions: dict[str, list[int]],
) -> None:
    path = None
    if content is not None:
        path = pair.mask.parent / "dataset.json"
        path.write_text(json.dumps({"labels": content}))
    assert find_labels(path, given, [pair]) == (labels, ignored, regions)
