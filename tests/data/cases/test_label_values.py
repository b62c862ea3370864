"""Label values <-> classes: there and back is where one started, and a preset that leaves it open is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.data import ClassesToLabelsd
from scripts.data.cases.label_values import LARGEST, ignored_values, label_values, to_classes, to_mask_values

PRESETS = {
    "consecutive": {"0": "background", "1": "liver", "2": "kidney"},
    "with gaps": {"0": "background", "3": "liver", "7": "tumour", "200": "vessel"},
    "large": {"0": "background", "255": "liver", "256": "tumour", str(LARGEST): "vessel"},
    "numbers": {0: "background", 4: "liver"},
}


def tensor(voxels: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(voxels)[None], affine=torch.diag(torch.tensor([1.0, 2, 3, 1])), meta={"a": 1})


@pytest.mark.parametrize("labels", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_classes_go_to_the_values_they_came_from(labels: dict[Any, str], dtype: type) -> None:
    values = np.random.default_rng(0).choice(list(map(int, labels)), (6, 5, 4)).astype(dtype)
    classes = to_classes(values, label_values(labels))
    assert classes.dtype == dtype
    assert set(np.unique(classes)) <= set(range(len(labels)))
    case = {"pred": tensor(classes), "name": "scan_seg"}
    back = ClassesToLabelsd(labels)(case)
    np.testing.assert_array_equal(back["pred"][0].numpy(), values)
    assert back["name"] == "scan_seg"


def test_the_mask_keeps_its_place_and_the_prediction_its_classes() -> None:
    pred = tensor(np.array([[[0, 1, 2]]], np.float32))
    result = ClassesToLabelsd(PRESETS["with gaps"])({"pred": pred})["pred"]
    assert result.flatten().tolist() == [0, 3, 7]
    assert pred.flatten().tolist() == [0, 1, 2]
    assert result.affine.equal(pred.affine)
    assert result.meta["a"] == 1


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["background", "liver"], "must name at least"),
        ({}, "must name at least"),
        ({"0": "background"}, "must name at least"),
        ({"background": 0, "liver": 1}, "whole numbers as keys"),
        ({"0": "background", "1.5": "liver"}, "whole numbers as keys"),
        ({"1": "liver", "2": "kidney"}, "must rise from 0"),
        ({"1": "liver", "0": "background"}, "must rise from 0"),
        ({"0": "background", "-1": "ignored"}, "must rise from 0"),
        ({"0": "background", "2": "a", "1": "b"}, "must rise from 0"),
        ({"0": "background", "1": "a", "01": "b"}, "must rise from 0"),
        ({"0": "background", str(LARGEST + 1): "a"}, "at most 65535"),
    ],
)
def test_a_preset_that_leaves_the_values_open_is_refused_in_words(labels: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        label_values(labels)


def test_values_to_be_ignored_become_the_number_of_classes() -> None:
    values = np.array([0.0, 3, 255, 7, -1, 0], np.float32)
    classes = to_classes(values, label_values({"0": "background", "3": "liver", "7": "tumour"}), [-1, 255])
    assert (classes.tolist(), classes.dtype) == ([0, 1, 3, 2, 3, 0], np.float32)


def test_a_value_that_is_a_class_and_ignored_is_refused() -> None:
    with pytest.raises(ValueError, match="got 4 in labels and in ignore_label; remove it from one of them"):
        ignored_values([9, 4], PRESETS["numbers"])
    assert ignored_values([255, -1, 255], PRESETS["numbers"]) == [-1, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_values_are_merged_and_others_stay(dtype: type) -> None:
    values = np.array([[0, 1, 2, 5], [7, 255, -1, 300]], dtype)
    merged = to_mask_values(values, {2: 1, 5: 0})
    assert (merged.tolist(), merged.dtype) == ([[0, 1, 1, 0], [7, 255, -1, 300]], dtype)
    assert to_mask_values(values, {}) is values
