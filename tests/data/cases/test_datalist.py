"""A dataset.json -> every case once; a wrong list is refused, and so, beside the good ones, is a wrong entry, by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.basics.case import Case, Listed, file_of
from scripts.data import CaseError, read_datalist, read_references
from scripts.data.cases.datalist import list_cases, read_json

Item = dict[str, Any] | str


def dataset(folder: Path, **lists: list[Item]) -> Path:
    """A dataset folder with these lists and, empty, every file inside it that they name."""
    for item in (item for items in lists.values() for item in items):
        for value in [item] if isinstance(item, str) else item.values():
            for file in value if isinstance(value, list) else [value]:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
    (folder / "dataset.json").write_text(json.dumps(lists, ensure_ascii=False), encoding="utf-8")
    return folder


def pairs(*names: str) -> list[Item]:
    return [{"image": f"./images/{name}.nii.gz", "label": f"./labels/{name}.nii.gz"} for name in names]


def files(case: Case) -> dict[str, Any]:
    return {key: value for key, value in case.items() if key != "subject"}


def names(listed: Listed) -> list[str]:
    return [Path(case["image"]).name.removesuffix(".nii.gz") for case in listed.cases]


def test_every_list_is_read_as_it_stands(tmp_path: Path) -> None:
    lists = {"training": pairs("a", "b"), "validation": pairs("c"), "test": pairs("d", "e", "f")}
    path = dataset(tmp_path, **lists) / "dataset.json"
    found = read_datalist(tmp_path) | {"test": list_cases(path, read_json(path), "test", labelled=True)}
    for part, items in lists.items():
        expected = [{key: str(tmp_path / value) for key, value in item.items()} for item in items]
        assert ([files(case) for case in found[part].cases], found[part].refused) == (expected, [])


def test_the_paths_of_a_relative_folder_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path / "data", training=pairs("a"), validation=pairs("b"))
    monkeypatch.chdir(tmp_path)
    assert Path(read_datalist("data")["training"].cases[0]["image"]) == tmp_path / "data" / "images" / "a.nii.gz"


def test_a_validation_list_is_split_off_by_the_seed(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs(*(f"{i:02d}" for i in range(20))))
    split = [{part: names(listed) for part, listed in read_datalist(tmp_path, 0.25, seed).items()} for seed in (0, 1)]
    assert len(split[0]["validation"]) == 5
    assert sorted(split[0]["training"] + split[0]["validation"]) == [f"{i:02d}" for i in range(20)]
    assert names(read_datalist(tmp_path, 0.25, seed=0)["validation"]) == split[0]["validation"]
    assert split[1]["validation"] != split[0]["validation"]


@pytest.mark.parametrize("said", [True, False], ids=["said", "read from the names"])
def test_all_cases_of_a_subject_are_split_off_together(tmp_path: Path, said: bool) -> None:
    scans = [(f"{subject:03d}", scan) for subject in range(10) for scan in range(3)]
    cases = pairs(*(f"scan{subject}_{scan}" if said else f"p{subject}_{scan}" for subject, scan in scans))
    if said:
        for case, (subject, _) in zip(cases, scans, strict=True):
            case["subject"] = f"subject {subject}"
    for case in cases:  # the word is no file
        dataset(tmp_path, training=[{key: value for key, value in case.items() if key != "subject"}])
    (tmp_path / "dataset.json").write_text(json.dumps({"training": cases}))
    parts = read_datalist(tmp_path, 0.2)
    subjects = {part: {name.rpartition("_")[0] for name in names(listed)} for part, listed in parts.items()}
    assert (len(parts["validation"].cases), len(subjects["validation"])) == (6, 2)
    assert not subjects["training"] & subjects["validation"]


def test_a_case_of_several_files_keeps_their_order(tmp_path: Path) -> None:
    case = {"image": ["t2.nii", "t1.nii"], "label": "mask.nii"}
    dataset(tmp_path, training=[case], validation=pairs("a"))
    assert read_datalist(tmp_path)["training"].cases[0]["image"] == [str(tmp_path / "t2.nii"), str(tmp_path / "t1.nii")]


def test_a_list_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = dataset(tmp_path, training=pairs("ä"), validation=pairs("b")) / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert names(read_datalist(tmp_path)["training"]) == ["ä"]


def remove_a_file(folder: Path) -> None:
    (folder / "labels" / "a.nii.gz").unlink()


def leave_by_dots(folder: Path) -> None:
    dataset(folder, training=[{"image": "../outside.nii", "label": "labels/a.nii.gz"}, *pairs("b")], validation=pairs("c"))


def leave_by_an_absolute_path(folder: Path) -> None:
    outside = str(folder.parent / "outside.nii")
    dataset(folder, training=[{"image": "images/a.nii.gz", "label": outside}, *pairs("b")], validation=pairs("c"))


def leave_by_a_link(folder: Path) -> None:
    (folder.parent / "outside.nii").touch()
    (folder / "images" / "a.nii.gz").unlink()
    (folder / "images" / "a.nii.gz").symlink_to(folder.parent / "outside.nii")


def leave_in_a_list(folder: Path) -> None:
    dataset(folder, training=[{"image": ["a.nii", "../outside.nii"], "label": "b.nii"}, *pairs("b")], validation=pairs("c"))


def break_the_json(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"training": [')


def nest_without_end(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"training": ' + "[" * 10**5)


def write_a_list(folder: Path) -> None:
    (folder / "dataset.json").write_text(json.dumps(pairs("a")))


def write_another_encoding(folder: Path) -> None:
    (folder / "dataset.json").write_bytes('{"name": "Hüfte"}'.encode("latin-1"))


def rename_the_key(folder: Path) -> None:
    dataset(folder, train=pairs("a"), validation=pairs("c"))


def empty_the_list(folder: Path) -> None:
    dataset(folder, training=[], validation=pairs("c"))


def write_a_mapping(folder: Path) -> None:
    (folder / "dataset.json").write_text(json.dumps({"training": {"image": "images/a.nii.gz"}, "validation": pairs("c")}))


def leave_one_case_to_split(folder: Path) -> None:
    dataset(folder, training=pairs("a"))


def write_a_bare_path(folder: Path) -> None:
    dataset(folder, training=["images/a.nii.gz", *pairs("b")], validation=pairs("c"))


def write(folder: Path, entry: Any) -> None:
    (folder / "dataset.json").write_text(json.dumps({"training": [entry, *pairs("b")], "validation": pairs("c")}))


def write_numbers_as_paths(folder: Path) -> None:
    write(folder, {"image": 3, "label": 4})


def write_a_zero_byte(folder: Path) -> None:
    write(folder, {"image": "images/a.nii.gz\0", "label": "labels/a.nii.gz"})


def write_nothing(folder: Path) -> None:
    write(folder, None)


def write_a_list_of_labels(folder: Path) -> None:
    write(folder, {"image": "images/a.nii.gz", "label": ["labels/a.nii.gz"]})


def drop_a_label(folder: Path) -> None:
    write(folder, {"image": "images/a.nii.gz"})


def drop_an_image(folder: Path) -> None:
    write(folder, {"label": "labels/a.nii.gz"})


def list_it_for_validation_too(folder: Path) -> None:
    dataset(folder, training=pairs("a", "b"), validation=pairs("c", "a"))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (break_the_json, "JSON"),
        (nest_without_end, "JSON"),
        (write_a_list, "object"),
        (write_another_encoding, "JSON"),
        (rename_the_key, "'training'"),
        (empty_the_list, "'training'"),
        (write_a_mapping, "'training'"),
        (leave_one_case_to_split, "validation"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], named: str) -> None:
    folder = dataset(tmp_path / "data", training=pairs("a", "b"), validation=pairs("c"))
    assert names(read_datalist(folder)["training"]) == ["a", "b"]  # accepted before it is damaged
    damage(folder)
    with pytest.raises(CaseError) as caught:
        read_datalist(folder)
    assert caught.value.file == str(folder / "dataset.json")
    assert named in str(caught.value)


def say_a_label_twice(folder: Path) -> None:
    path = folder / "dataset.json"
    label = '"label": "./labels/a.nii.gz"'
    path.write_text(path.read_text().replace(label, f'{label}, "label": "./labels/c.nii.gz"'))


def name_one_file_for_both_modalities(folder: Path) -> None:
    write(folder, {"image": ["images/a.nii.gz", "./images/a.nii.gz"], "label": "labels/a.nii.gz"})


def name_the_image_as_its_label(folder: Path) -> None:
    write(folder, {"image": "images/a.nii.gz", "label": "images/a.nii.gz"})


def link_the_image_as_its_label(folder: Path) -> None:
    (folder / "labels" / "a.nii.gz").unlink()
    (folder / "labels" / "a.nii.gz").symlink_to(folder / "images" / "a.nii.gz")


def share_a_modality(folder: Path) -> None:
    (folder / "images" / "t2.nii.gz").touch()
    entries = [{**pairs("b")[0]}, {"image": ["images/t2.nii.gz", "images/b.nii.gz"], "label": "labels/a.nii.gz"}]
    (folder / "dataset.json").write_text(json.dumps({"training": entries, "validation": pairs("c")}))


def share_a_label_with_validation(folder: Path) -> None:
    write(folder, {"image": "images/a.nii.gz", "label": "labels/c.nii.gz"})


def share_a_subject_with_validation(folder: Path) -> None:
    lists = {"training": pairs("a", "b"), "validation": pairs("c")}
    lists["training"][0]["subject"], lists["validation"][0]["subject"] = 7, " 7"
    (folder / "dataset.json").write_text(json.dumps(lists))


def say_a_list_of_subjects(folder: Path) -> None:
    write(folder, pairs("a")[0] | {"subject": ["a"]})


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (say_a_label_twice, "'label' is there more than once"),
        (name_one_file_for_both_modalities, "names it 2 times"),
        (name_the_image_as_its_label, "names it 2 times"),
        (link_the_image_as_its_label, "names it 2 times"),
        (share_a_modality, "listed once"),
        (share_a_label_with_validation, "must not share labels"),
        (share_a_subject_with_validation, "must not share subjects"),
        (say_a_list_of_subjects, "text or number; found ['a']"),
        (remove_a_file, "labels/a.nii.gz"),
        (leave_by_dots, "../outside.nii"),
        (leave_by_an_absolute_path, "outside.nii"),
        (leave_by_a_link, "images/a.nii.gz"),
        (leave_in_a_list, "../outside.nii"),
        (write_a_bare_path, "label"),
        (write_numbers_as_paths, "paths; found 3"),
        (write_a_zero_byte, r"\x00"),
        (write_nothing, "must name its image; found None"),
        (write_a_list_of_labels, "paths; found ['labels/a.nii.gz']"),
        (drop_a_label, "must name its label"),
        (drop_an_image, "must name its image"),
        (list_it_for_validation_too, "must not share images"),
    ],
)
def test_a_wrong_entry_is_refused_and_costs_no_other(tmp_path: Path, damage: Callable[[Path], None], named: str) -> None:
    folder = dataset(tmp_path / "data", training=pairs("a", "b"), validation=pairs("c"))
    damage(folder)
    parts = read_datalist(folder)
    ((_, error),) = parts["training"].refused
    assert named in str(error)
    assert str(folder) in str(error)
    assert len(str(error).splitlines()) == 1
    (right,) = parts["training"].cases
    assert files(right) == {key: str(folder / value) for key, value in pairs("b")[0].items()}
    assert parts["validation"].refused == []
    assert parts["validation"].cases


def test_an_image_that_is_listed_twice_is_used_once(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs("a", "b", "a"), validation=pairs("c"))
    training = read_datalist(tmp_path)["training"]
    assert names(training) == ["a", "b"]
    ((again, error),) = training.refused
    assert "entry 3 of 'training' lists it again" in str(error)
    assert file_of(again) == f"{tmp_path / 'dataset.json'}, entry 3 of 'training'"  # the image's name is that of the good one


def test_a_label_that_is_listed_for_two_images_is_taken_for_neither(tmp_path: Path) -> None:
    dataset(
        tmp_path, training=[*pairs("a", "b"), {**pairs("d")[0], "label": "labels/../labels/a.nii.gz"}], validation=pairs("c")
    )
    training = read_datalist(tmp_path)["training"]
    assert names(training) == ["b"]
    assert [error.rule for _, error in training.refused] == 2 * ["a label may be listed for one image"]
    assert [error.found for _, error in training.refused] == [
        f"entry {number} of 'training' is one of 2 that list it" for number in (1, 3)
    ]


@pytest.mark.parametrize(
    "text",
    ['{"training": [], "training": []}', '{"training": [], "labels": {"1": "a", "1": "b"}}', '{"x": 1, "x": 1}'],
    ids=["two lists", "two names of a value", "two of what nobody reads"],
)
def test_a_file_with_a_key_given_twice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(CaseError, match=r"dataset\.json: a key may be given once; '\w+' is there more than once"):
        read_datalist(tmp_path)


def test_who_says_no_subject_is_of_the_one_that_another_of_its_name_says(tmp_path: Path) -> None:
    scans = pairs(*(f"p{subject:02d}_{scan}" for subject in range(6) for scan in range(2)))
    dataset(tmp_path, training=scans)
    for number, case in enumerate(scans[::4]):
        case["subject"] = f"the patient {number}"
    (tmp_path / "dataset.json").write_text(json.dumps({"training": scans}))
    for seed in range(5):
        parts = read_datalist(tmp_path, 0.3, seed)
        sides = [{name.partition("_")[0] for name in names(listed)} for listed in parts.values()]
        assert sides[1]
        assert not sides[0] & sides[1]


PRESET = {"0": "background", "1": "anterior", "2": "posterior"}


@pytest.mark.parametrize(
    "theirs",
    [
        {"1": "posterior", "2": "anterior"},
        {"0": "Background", "1": "Posterior", "2": "tail"},
        {"background": 0, "posterior": 1, "anterior": 2},
        {"0": "anterior", "1": "background"},
        {"anterior": 1, "posterior": 2, "ignore": 3},
        {"1": "anterior", "2": "posterior", "3": "Ignore"},
    ],
)
def test_label_names_that_contradict_the_preset_are_refused(tmp_path: Path, theirs: dict[str, Any]) -> None:
    path = dataset(tmp_path, training=pairs("a"), validation=pairs("b")) / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": theirs, "test": pairs("a")}))
    assert names(read_datalist(tmp_path)["training"]) == ["a"]  # nobody says what they should be
    for read in (lambda: read_datalist(tmp_path, labels=PRESET), lambda: read_references(tmp_path, "test", labels=PRESET)):
        with pytest.raises(
            CaseError, match=r"dataset\.json: its label names must be those of the preset; '\w+' is the value \d"
        ):
            read()


@pytest.mark.parametrize("theirs", [{"anterior": 1, "ignore": 3}, {"1": "anterior", "3": "Ignore"}])
def test_a_value_that_dataset_json_ignores_must_be_ignored_by_the_preset(tmp_path: Path, theirs: dict[str, Any]) -> None:
    path = dataset(tmp_path, training=pairs("a"), validation=pairs("b")) / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": theirs, "test": pairs("a")}))
    assert names(read_datalist(tmp_path, labels=PRESET, ignore_label=[255, 3])["training"]) == ["a"]
    assert names(read_references(tmp_path, "test", labels=PRESET, ignore_label=[3])) == ["a"]
    assert names(read_references(tmp_path, "validation", labels=PRESET, ignore_label=[3])) == ["b"]
    with pytest.raises(CaseError, match=r"is the value 3 there, which the preset does not ignore; write ignore_label: \[3\]"):
        read_datalist(tmp_path, labels=PRESET, ignore_label=[255])


@pytest.mark.parametrize(
    ("theirs", "doubts"),
    [
        ({"0": "nothing", "1": "Anterior", "2": "posterior"}, 0),
        ({"background": 0, "anterior": 1, "posterior": 2, "all": [1, 2]}, 0),
        ({"1": "head", "2": "posterior", "3": "more"}, 1),
        (["background", "anterior"], 0),
        (None, 0),
    ],
)
def test_other_words_for_a_label_are_in_doubt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, theirs: Any, doubts: int
) -> None:
    path = dataset(tmp_path, training=pairs("a"), validation=pairs("b")) / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": theirs}))
    assert names(read_datalist(tmp_path, labels=PRESET)["training"]) == ["a"]
    assert [record.message.partition("dataset.json: ")[2] for record in caplog.records] == [
        "the value 1 is 'head' there and 'anterior' in the preset"
    ][:doubts]


def test_a_wrong_entry_moves_no_other_to_the_other_side(tmp_path: Path) -> None:
    good = pairs(*(f"p{i:02d}" for i in range(20)))
    before = read_datalist(dataset(tmp_path, training=good))
    wrong = [{"image": "lost.nii", "label": good[0]["label"]}, {"image": "/elsewhere/p99.nii"}, None]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [wrong[0], *good[:7], *wrong[1:], *good[7:]]}))
    after = read_datalist(tmp_path)
    assert {part: listed.cases for part, listed in after.items()} == {part: listed.cases for part, listed in before.items()}
    assert [len(listed.refused) for listed in after.values()] == [3, 0]


def test_no_dataset_json_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset\.json"):
        read_datalist(tmp_path)


def test_the_dataset_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    dataset(tmp_path / "disk", training=pairs("a"), validation=pairs("b"))
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    (case,) = read_datalist(tmp_path / "data")["training"].cases
    assert files(case) == {key: str(tmp_path / "data" / value) for key, value in pairs("a")[0].items()}


@pytest.mark.parametrize("name", ["with space", "it's", 'say "a"', "Hüfte_片", "a;b&c", "-rf", "dots..in.it", "two\nlines"])
def test_unusual_names_reach_the_cases_unchanged(tmp_path: Path, name: str) -> None:
    dataset(tmp_path, training=pairs("a"), validation=pairs(name))
    assert read_datalist(tmp_path)["validation"].cases[0]["image"] == str(tmp_path / "images" / f"{name}.nii.gz")


@pytest.mark.parametrize("lists", [{"validation": pairs("b", "c")}, {}], ids=["a list for validation", "none"])
def test_a_fraction_of_0_gives_all_cases_to_training(tmp_path: Path, lists: dict[str, Any]) -> None:
    dataset(tmp_path, training=pairs("a", "b"), **lists)
    listed = read_datalist(tmp_path, val_fraction=0)
    assert names(listed["training"]) == (["a", "b", "c"] if lists else ["a", "b"])  # each once
    assert listed["validation"] == ([], [])
    with pytest.raises(ValueError, match="with val_fraction 0 there are no cases for validation; evaluate another part"):
        read_references(tmp_path, "validation", val_fraction=0)
    assert names(read_references(tmp_path, "training", val_fraction=0)) == names(listed["training"])


def test_each_fold_holds_out_its_cases_and_a_validation_list_is_in_none(tmp_path: Path) -> None:
    every = [f"{i:02d}" for i in range(10)]
    dataset(tmp_path, training=pairs(*every), validation=pairs("v"))
    parts = [read_datalist(tmp_path, folds=3, fold=fold) for fold in range(3)]
    held_out = [names(found["validation"]) for found in parts]
    assert sorted(name for found in held_out for name in found) == every
    for found, of_fold in zip(parts, held_out, strict=True):
        assert names(found["training"]) == [name for name in every if name not in of_fold]
    dataset(tmp_path, training=pairs(*every))  # without the list
    assert [names(read_datalist(tmp_path, 0.9, folds=3, fold=fold)["validation"]) for fold in range(3)] == held_out


def test_a_fold_that_is_none_and_too_few_subjects_are_refused(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs("a", "b", "c"))
    for fold in (None, -1, 2):
        with pytest.raises(ValueError, match=f"fold must be from 0 to 1, one of the 2 folds, got {fold}"):
            read_datalist(tmp_path, folds=2, fold=fold)
    with pytest.raises(CaseError, match="there must be a subject for each fold; 3 cases of 3 subjects, and folds is 4"):
        read_datalist(tmp_path, folds=4, fold=0)


def test_cases_of_one_name_have_their_own_in_the_evaluations_of_all_folds(tmp_path: Path) -> None:
    items: list[Item] = [{"image": f"p{i}/image.nii", "label": f"p{i}/label.nii"} for i in range(4)]
    dataset(tmp_path, training=items)
    found = [case["name"] for fold in range(4) for case in read_references(tmp_path, "validation", folds=4, fold=fold).cases]
    assert sorted(found) == [f"p{i}/image_seg" for i in range(4)]
