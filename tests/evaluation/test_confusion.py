"""What masks call the voxels of each structure, against counting one voxel after the other."""

import numpy as np
import torch

from scripts.evaluation import Confusion

LABELS = {0: "background", 3: "liver", 200: "kidney"}


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    mask, reference = generator.choice([*LABELS], (2, 5, 4, 3))
    return mask, reference, generator.random(mask.shape) < 0.8


def test_counts_add_up_over_cases_to_those_of_every_voxel() -> None:
    confusion = Confusion(LABELS)
    expected = {name: dict.fromkeys(LABELS.values(), 0) for name in LABELS.values()}
    for seed in range(3):
        case = random_case(seed)
        confusion.add(*map(torch.tensor, case))
        for found, there, counted in zip(*(array.ravel().tolist() for array in case), strict=True):
            expected[LABELS[there]][LABELS[found]] += counted
    assert confusion.table() == expected


def test_where_a_structure_is_not_annotated_the_background_may_hold_it_and_is_not_counted() -> None:
    full, part = Confusion(LABELS), Confusion(LABELS)
    full.add(*map(torch.tensor, random_case(0)))
    part.add(*map(torch.tensor, random_case(0)), not_annotated={"kidney"})
    assert part.table() == full.table() | {"background": dict.fromkeys(LABELS.values(), 0)}


def test_other_values_are_background() -> None:
    confusion = Confusion({0: "background", 1: "liver"})
    confusion.add(torch.tensor([1, 7, 0]), torch.tensor([9, 1, 0]), torch.ones(3, dtype=torch.bool))
    assert confusion.table() == {"background": {"background": 1, "liver": 1}, "liver": {"background": 1, "liver": 0}}
