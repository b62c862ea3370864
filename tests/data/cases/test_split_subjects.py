"""All cases of a subject are on one side or in one fold, whatever the order; a new one moves at most one other to a side."""

import random
from collections import Counter

import pytest

from scripts.data.cases.split_subjects import doubts_about, fold_subjects, split_subjects, subjects_in, subjects_of

CASES = [{"image": f"/data/images/patient{i:03d}_frame{j:02d}.nii.gz"} for i in range(30) for j in (1, 12)]


def held_out(cases: list[dict[str, str]], seed: int = 0) -> set[str]:
    subjects = subjects_of(cases)
    return {subjects[i] for i in split_subjects(cases, 0.2, seed)}


@pytest.mark.parametrize(
    ("paths", "subjects"),
    [
        (["images/patient001_frame01.nii.gz", "images/patient002_frame12.nii.gz"], ["patient001", "patient002"]),
        (
            ["patient_1/visit_1.nii", "patient_1/visit_2.nii", "patient_12/visit_1.nii"],
            ["patient_1", "patient_1", "patient_12"],
        ),
        (["visit_1/patient_1.nii", "visit_2/patient_1.nii", "visit_2/patient_2.nii"], ["patient_1", "patient_1", "patient_2"]),
        (["P1_L.nii", "P1_R.nii", "P2_L.nii"], ["P1", "P1", "P2"]),
        (["BraTS2021_00001/a_t1.nii", "BraTS2021_00002/a_t1.nii"], ["BraTS2021_00001", "BraTS2021_00002"]),
        (["scans_2023/case7.nii", "scans_2023/case8.nii"], ["case7", "case8"]),
        (["scans_2022/case7.nii", "scans_2023/case7.nii", "scans_2023/case8.nii"], ["case7", "case7", "case8"]),
        (["T1_001.nii", "T2_001.nii", "T2_002.nii"], ["001", "001", "002"]),
        (["imagesTr/T1_001.nii.gz", "imagesTr/T1_002.nii.gz"], ["T1_001", "T1_002"]),
        (["Center_01/Patient_01/x.nii", "Center_02/Patient_02/x.nii"], ["Patient_01", "Patient_02"]),
        (["2015-11-24_p1.nii", "2015-11-25_p1.nii", "2015-11-25_p2.nii"], ["p1", "p1", "p2"]),
        (["sub-A7/ses-02/anat/sub-A7_ses-02_T1w.nii.gz"], ["sub-A7"]),
        (["case_001/image.nii.gz", "case_002/image.nii.gz"], ["case_001", "case_002"]),
        (["patient001/scan_02.mha", "patient002/scan_02.mha"], ["patient001", "patient002"]),
        (["anna/visit_1.nii", "anna/visit_2.nii", "bob/visit_1.nii"], ["anna", "anna", "bob"]),
        (["scan_01.nii", "scan_02.nii"], ["scan_01", "scan_02"]),
        (["Hüfte 1.nii", "Hüfte 2.nii"], ["Hüfte_1", "Hüfte_2"]),
    ],
    ids=lambda value: value[0] if "." in value[0] else None,
)
def test_the_subject_is_read_from_what_the_names_do_not_share(paths: list[str], subjects: list[str]) -> None:
    assert subjects_in(paths) == subjects


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["CHUM-001.nii", "CHUS-001.nii", "CHUS-002.nii"], "CHUM-001.nii and CHUS-001.nii are taken for one subject"),
        (["anna/first.nii", "anna/second.nii", "bob/first.nii"], "anna/first.nii and anna/second.nii may be one subject"),
        (
            [f"p1_{i}.nii" for i in range(4)] + ["p2_0.nii"],
            "4 of 5 cases are taken for one subject; the subjects are p1 (4), p2 (1)",
        ),
    ],
)
def test_where_names_leave_it_open_the_subjects_are_said(
    paths: list[str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    cases = [{"image": f"/data/{path}"} for path in paths]
    assert words in " ".join(doubts_about(cases))
    split_subjects(cases, 0.2, seed=0)
    assert words in caplog.text
    assert not doubts_about([case | {"subject": "a"} for case in cases])


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


@pytest.mark.parametrize("seed", range(40))
def test_folds_are_a_partition_by_subject_as_even_as_whole_subjects_allow(seed: int) -> None:
    draw = random.Random(seed)
    sizes = [draw.choice((1, 1, 1, 2, 3, 9)) for _ in range(draw.randint(2, 40))]
    folds = draw.randint(2, len(sizes))
    cases = [{"image": f"/data/p{i:03d}_visit{j}.nii"} for i, size in enumerate(sizes) for j in range(size)]
    numbers = fold_subjects(cases, folds, seed)
    assert len(numbers) == len(cases)
    assert set(numbers) == set(range(folds))
    of_subject = {(subject, number) for subject, number in zip(subjects_of(cases), numbers, strict=True)}
    assert len(of_subject) == len(sizes)
    held = Counter(numbers).values()
    assert max(held) - min(held) <= max(sizes)
    order = draw.sample(range(len(cases)), len(cases))
    assert fold_subjects([cases[i] for i in order], folds, seed) == [numbers[i] for i in order]
    moved = [{"image": case["image"].replace("/data/", "/elsewhere/")} for case in cases]
    assert fold_subjects(moved, folds, seed) == numbers


def test_folds_of_subjects_with_as_many_cases_each_differ_by_one_subject_and_by_the_seed() -> None:
    numbers = fold_subjects(CASES, 4, seed=0)  # 30 subjects of two cases
    assert sorted(Counter(numbers).values()) == [14, 14, 16, 16]
    assert fold_subjects(CASES, 4, seed=1) != numbers


@pytest.mark.parametrize("folds", [1, 31])
def test_more_folds_than_subjects_and_a_single_one_are_refused(folds: int) -> None:
    with pytest.raises(ValueError, match=f"folds must be at least 2, with a subject for each; got {folds} for 30 subjects"):
        fold_subjects(CASES, folds, seed=0)
