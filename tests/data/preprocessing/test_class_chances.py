"""By class first: equal or given shares among the classes that a case has, and never a class that it has not."""

from typing import Any

import pytest

from scripts.data.preprocessing.class_chances import class_chances


@pytest.mark.parametrize(
    ("counts", "crop_classes", "expected"),
    [
        ([900, 90, 9, 1], "balanced", [3 / 9, 2 / 9, 2 / 9, 2 / 9]),
        ([900, 90, 0, 1], "balanced", [3 / 9, 3 / 9, 0, 3 / 9]),
        ([900, 90], "balanced", [3 / 9, 6 / 9]),
        ([0, 90, 9], "balanced", [0, 1 / 2, 1 / 2]),
        ([900, 0, 0], "balanced", [1, 0, 0]),
        ([900], "balanced", [1]),
        ([900, 90, 9, 1], [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4]),
        ([900, 90, 9], [1, 2, 3, 4], [1 / 6, 2 / 6, 3 / 6]),
        ([900, 90, 0, 1], [0, 0, 1, 0], [0, 90 / 91, 0, 1 / 91]),
        ([900], [0, 0, 1, 0], [1]),
    ],
)
def test_a_class_is_drawn_as_often_as_asked_for(counts: list[int], crop_classes: Any, expected: list[float]) -> None:
    chances = class_chances(counts, crop_classes, pos=2, neg=1)
    assert chances is not None
    assert chances.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
@pytest.mark.parametrize("crop_classes", ["balanced", [1, 1, 1]])
def test_a_case_without_a_labelled_voxel_has_no_class_to_draw(counts: list[int], crop_classes: Any) -> None:
    assert class_chances(counts, crop_classes, pos=2, neg=1) is None
