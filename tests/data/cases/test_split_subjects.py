"""All cases of a subject are on one side, whatever the order, and adding a subject moves no more than one other."""

import random

import pytest

from scripts.data.cases.split_subjects import split_subjects, subject_in, subjects_of

CASES = [{"image": f"/data/images/patient{i:03d}_frame{j:02d}.nii.gz"} for i in range(30) for j in (1, 12)]


def held_out(cases: list[dict[str, str]], seed: int = 0) -> set[str]:
    subjects = subjects_of(cases)
    return {subjects[i] for i in split_subjects(cases, 0.2, seed)}


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("images/patient001_frame01.nii.gz", "patient001"),
        ("imagesTr/BRATS_012_t1.nii.gz", "BRATS_012"),
        ("imagesTr/T1_001.nii.gz", "T1_001"),
        ("sub-A7/ses-02/anat/sub-A7_ses-02_T1w.nii.gz", "sub-A7"),
        ("case_001/image.nii.gz", "case_001"),
        ("patient001/scan_02.mha", "patient001"),
        ("anna/image.nii.gz", "anna/image"),
        ("Hüfte 1.nii", "Hüfte 1"),
        ("scan.v1.2.nii.gz", "scan.v1.2"),
    ],
)
def test_the_subject_is_read_from_the_name(path: str, subject: str) -> None:
    assert subject_in(path) == subject


def test_no_subject_is_on_both_sides() -> None:
    chosen = split_subjects(CASES, 0.2, seed=0)
    subjects = subjects_of(CASES)
    assert len(chosen) == 12
    assert not {subjects[i] for i in chosen} & {subjects[i] for i in range(len(CASES)) if i not in chosen}


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_cases() -> None:
    shuffled = random.Random(0).sample(CASES, len(CASES))
    assert held_out(shuffled) == held_out(CASES)
    assert held_out(CASES, seed=1) != held_out(CASES)


def test_a_new_subject_moves_at_most_one_other() -> None:
    before = held_out(CASES)
    for i in range(100, 140):
        after = held_out([*CASES, {"image": f"/data/images/patient{i}_frame01.nii.gz"}])
        assert len((before ^ after) - {f"patient{i}"}) <= 1


def test_a_case_may_say_its_subject_itself() -> None:
    cases = [{"image": f"/data/{i}.nii", "subject": "ab"[i // 5]} for i in range(10)]
    assert split_subjects(cases, 0.2, seed=0) in ({0, 1, 2, 3, 4}, {5, 6, 7, 8, 9})


@pytest.mark.parametrize(("subjects", "held"), [(0, 0), (1, 0), (2, 1), (3, 1), (10, 2)])
def test_of_two_subjects_or_more_some_are_on_each_side(subjects: int, held: int) -> None:
    cases = [{"image": f"/data/p{i:02d}.nii"} for i in range(subjects)]
    assert len(split_subjects(cases, 0.2, seed=0)) == held


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_fraction_that_leaves_one_side_empty_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_subjects(CASES, fraction, seed=0)
