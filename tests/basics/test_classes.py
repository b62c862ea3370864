"""What is trained of a dataset's labels: each value of the files belongs to one class, and what nobody names is background."""

from typing import Any

import pytest

from scripts.basics.classes import classes_of, merged_values

LABELS = {"0": "background", "1": "left lung", "2": "right lung", "5": "trachea", "7": "lesion"}
LUNG = {"lung": ["left lung", "right lung"], "lesion": [7]}


def test_without_a_merge_every_label_is_a_class_with_its_own_value() -> None:
    assert classes_of(LABELS) == LABELS
    assert merged_values(LABELS) == {0: 0, 1: 1, 2: 2, 5: 5, 7: 7}


def test_a_class_has_the_lowest_value_of_its_labels_and_the_rest_is_background() -> None:
    assert classes_of(LABELS, LUNG) == {"0": "background", "1": "lung", "7": "lesion"}
    assert merged_values(LABELS, LUNG) == {0: 0, 1: 1, 2: 1, 5: 0, 7: 7}


@pytest.mark.parametrize("members", [["trachea", "right lung"], [5, 2], ["trachea", 2], ["right lung", 5]])
def test_labels_may_be_named_or_numbered_in_any_order(members: list[str | int]) -> None:
    assert classes_of(LABELS, {"airways": members}) == {"0": "background", "2": "airways"}
    assert merged_values(LABELS, {"airways": members}) == {0: 0, 1: 0, 2: 2, 5: 2, 7: 0}


def test_a_subset_keeps_names_and_values() -> None:
    subset = {name: [name] for name in ("right lung", "lesion")}
    assert classes_of(LABELS, subset) == {"0": "background", "2": "right lung", "7": "lesion"}


@pytest.mark.parametrize(
    ("merge", "said"),
    [
        ({"lung": ["left lungs"]}, "names 'left lungs' for 'lung', which labels does not have; did you mean left lung"),
        ({"lung": [3]}, "names 3 for 'lung', which labels does not have"),
        ({"lung": ["1"]}, "names '1' for 'lung', which labels does not have"),
        ({"lung": ["left lung", 1]}, "names 1 for 'lung', which is in 'lung' already"),
        ({"lung": [1, 2], "chest": ["right lung", 5]}, "names 'right lung' for 'chest', which is in 'lung' already"),
        ({"lung": []}, "must give 'lung' a list of labels"),
        ({"lung": "left lung"}, "must give 'lung' a list of labels"),
        ({"air": [0, 5]}, "names 0 for 'air', which is in the background already"),
        ({"air": ["background"]}, "names 'background' for 'air', which is in the background already"),
        ({"background": [5]}, "names 'background', the background, which is whatever no class has; leave it out"),
        (
            {"lesion": [7], "lung": [2, 1]},
            "must rise by the lowest value of each class, as masks have them; write lung,",
        ),
    ],
)
def test_what_does_not_say_one_class_for_each_label_is_refused(merge: Any, said: str) -> None:
    for function in (classes_of, merged_values):
        with pytest.raises(ValueError) as caught:
            function(LABELS, merge)
        assert str(caught.value).startswith(f"merge_labels {said}")
