"""Regions and classes: what is written back is what was labelled, or the preset is refused in words."""

from typing import Any

import pytest

from scripts.basics.regions import region_classes, written_classes, wrong_regions

LABELS = {"0": "background", "1": "necrosis", "2": "edema", "4": "enhancing"}
BRATS = {"whole tumour": [1, 2, 4], "tumour core": [1, 4], "enhancing": [4]}


def test_regions_are_lists_of_classes_and_write_classes() -> None:
    assert region_classes(LABELS, BRATS) == {"whole tumour": [1, 2, 3], "tumour core": [1, 3], "enhancing": [3]}
    assert written_classes(LABELS, BRATS, [2, 1, 4]) == [2, 1, 3]
    assert (region_classes(LABELS, {}), written_classes({}, {}, [])) == ({}, [])


@pytest.mark.parametrize(
    ("regions", "values", "said"),
    [
        ({"a": [1, 3]}, [1], "regions has 3 in 'a', and structures have the values 1, 2, 4 in masks"),
        ({"a": [0, 1]}, [1], "regions has 0 in 'a'"),
        (BRATS, [], "regions needs region_values too"),
        (BRATS, [2, 1], "region_values has 2 numbers and there are 3 regions"),
        ({}, [2, 1], "region_values has 2 numbers and there are 0 regions"),
        (BRATS, [1, 2, 4], "region_values would write 2 where 1 (necrosis) is labelled; list the regions from the largest"),
        (dict(reversed(BRATS.items())), [4, 1, 2], "region_values would write 2 where 1 (necrosis) is labelled"),
        ({"core": [1, 4], "enhancing": [4]}, [1, 4], "region_values would write 0 where 2 (edema) is labelled"),
        (BRATS, [2, 1, 3], "region_values would write 3 where 4 (enhancing) is labelled"),
    ],
)
def test_what_would_not_write_what_was_labelled_is_refused(regions: Any, values: list[int], said: str) -> None:
    ((identifier, wrong),) = wrong_regions(LABELS, regions, values)
    assert f"{identifier} {wrong}".startswith(said)
    with pytest.raises(ValueError, match=identifier):
        written_classes(LABELS, regions, values)
