"""Cleaning by hand, and as MONAI's transforms do it where scikit-image, which they need, is installed."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import KeepLargestConnectedComponent, RemoveSmallObjects

from scripts.data import CleanMaskd
from scripts.data.masks.clean_mask import clean_mask

LABELS = {"0": "background", "2": "myocardium", "5": "ventricle"}


def test_a_hole_is_filled_and_another_structure_in_it_stays() -> None:
    mask = np.full((7, 7, 7), 2)
    mask[2:5, 2:5, 2:5] = 0
    mask[3, 3, 3] = 5
    clean_mask(mask, 2, {"fill_holes": True}, [1.0, 1.0, 1.0])
    assert (mask[3, 3, 3], (mask == 2).sum()) == (5, 7**3 - 1)


def test_what_is_open_to_the_outside_is_no_hole() -> None:
    mask = np.full((7, 7, 7), 2)
    mask[3, 3, :4] = 0
    before = mask.copy()
    clean_mask(mask, 2, {"fill_holes": True}, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize(("size", "left"), [(47.9, [5, 3]), (48.1, [5]), (80.1, [])])
def test_small_is_what_has_fewer_cubic_millimetres(size: float, left: list[int]) -> None:
    mask = np.zeros((12, 3, 3), int)
    mask[:5, 1, 1], mask[7:10, 1, 1], mask[11, 2, 2] = 2, 2, 5
    clean_mask(mask, 2, {"remove_small": size}, [2.0, 2.0, 4.0])
    found = [int((part == 2).sum()) for part in (mask[:6], mask[6:])]
    assert [count for count in found if count] == left
    assert mask[11, 2, 2] == 5


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_monais_transforms_do(seed: int) -> None:
    pytest.importorskip("skimage")
    random = np.random.default_rng(seed)
    mask = random.choice([0, 2, 5], (14, 12, 10), p=[0.88, 0.08, 0.04])
    ours = mask.copy()
    clean_mask(ours, 2, {"keep_largest": True}, [1.0, 1.0, 1.0])
    theirs = KeepLargestConnectedComponent(applied_labels=2, is_onehot=False)(torch.tensor(mask)[None])[0].numpy()
    assert (ours == 2).sum() == (theirs == 2).sum()  # of equally large ones each takes another
    ours = mask.copy()
    clean_mask(ours, 2, {"remove_small": 3.5 * 1.5}, [1.0, 1.0, 1.5])
    with warnings.catch_warnings():
        # MONAI hands on the size in a place where scikit-image 0.26 takes another: objects of just this size would go too.
        warnings.simplefilter("ignore", FutureWarning)
        kept = RemoveSmallObjects(min_size=3.5, connectivity=3)(torch.tensor(mask == 2)[None])[0].numpy()
    np.testing.assert_array_equal(ours, np.where((mask == 2) & ~kept, 0, mask))


def test_nothing_is_cleaned_that_nobody_named_and_the_place_stays() -> None:
    mask = MetaTensor(torch.tensor([[[[2, 0, 2, 2, 5, 0, 5]]]]), affine=torch.diag(torch.tensor([1.0, 2, 3, 1])))
    cleaned = CleanMaskd(LABELS, {"myocardium": {"keep_largest": True, "fill_holes": False}})({"pred": mask})["pred"]
    assert cleaned.tolist() == [[[[0, 0, 2, 2, 5, 0, 5]]]]
    assert (cleaned.dtype, cleaned.affine.tolist()) == (mask.dtype, mask.affine.tolist())
    assert mask.tolist() == [[[[2, 0, 2, 2, 5, 0, 5]]]]
    assert CleanMaskd(LABELS)({"pred": mask})["pred"] is mask


@pytest.mark.parametrize(
    ("cleaning", "said"),
    [
        ({"ventricel": {}}, "names 'ventricel', and the structures are myocardium, ventricle; did you mean ventricle"),
        ({"background": {"keep_largest": True}}, "names 'background'"),
        ({"ventricle": ["keep_largest"]}, "must give 'ventricle' steps"),
        ({"ventricle": {"keep_larger": True}}, "did you mean keep_largest"),
        ({"ventricle": {"remove_small": True}}, "a size in mm³ above 0, got True"),
        ({"ventricle": {"remove_small": -1}}, "a size in mm³ above 0, got -1"),
        ({"ventricle": {"fill_holes": "yes"}}, "must have true or false for fill_holes"),
    ],
)
def test_what_cannot_be_meant_is_refused(cleaning: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="cleaning") as error:
        CleanMaskd(LABELS, cleaning)
    assert said in str(error.value)
