"""Components found, missed and made up, against a search by hand."""

from itertools import product

import numpy as np
import pytest
import torch

from scripts.evaluation import detection

NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


def components(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """By walking from voxel to voxel."""
    left, found = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        component, edge = set(), {left.pop()}
        while edge:
            component |= edge
            edge = {tuple(np.add(voxel, step).tolist()) for voxel in edge for step in NEIGHBOURS} & left
            left -= edge
        found.append(component)
    return found


def counts(mask: np.ndarray, reference: np.ndarray) -> dict[str, int]:
    of_mask, of_reference = components(mask), components(reference)
    return {
        "components_reference": len(of_reference),
        "components_found": sum(any(one & other for other in of_mask) for one in of_reference),
        "components_false_positive": sum(not any(one & other for other in of_reference) for one in of_mask),
    }


def found(mask: np.ndarray, reference: np.ndarray) -> dict[str, int]:
    return detection(torch.tensor(mask), torch.tensor(reference))


def random_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    shape = generator.integers(1, 9, 3)
    mask, reference = (generator.random(shape) < generator.uniform(0, 0.2) for _ in range(2))
    return mask, reference


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_a_walk_from_voxel_to_voxel(seed: int) -> None:
    assert found(*random_masks(seed)) == counts(*random_masks(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 220))
def test_counts_of_many_masks_are_those_of_a_walk(seed: int) -> None:
    assert found(*random_masks(seed)) == counts(*random_masks(seed))


def test_voxels_that_share_a_corner_are_one_component_and_with_a_gap_they_are_two() -> None:
    touching, apart = np.zeros((2, 4, 4, 4), bool)
    touching[0, 0, 0] = touching[1, 1, 1] = True
    apart[0, 0, 0] = apart[2, 0, 0] = True
    nothing = np.zeros_like(apart)
    assert found(nothing, touching)["components_reference"] == 1
    assert found(nothing, apart)["components_reference"] == 2


def test_one_voxel_is_enough_and_one_blob_may_find_several() -> None:
    reference = np.zeros((9, 3, 1), bool)
    reference[0:2], reference[4:6], reference[8] = True, True, True
    mask = np.zeros_like(reference)
    mask[1:5, 0] = True
    assert found(mask, reference) == {"components_reference": 3, "components_found": 2, "components_false_positive": 0}


@pytest.mark.parametrize(("mask", "reference", "expected"), [(0, 0, (0, 0, 0)), (1, 0, (0, 0, 1)), (0, 1, (1, 0, 0))])
def test_empty_sides_find_nothing_and_miss_nothing_that_is_not_there(mask: int, reference: int, expected: tuple) -> None:
    sides = (np.full((3, 3, 3), value, bool) for value in (mask, reference))
    assert tuple(found(*sides).values()) == expected
