"""A dataset.json, a folder or a file -> every case once, or an error that names the file."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.data import CaseError, find_images, read_datalist, read_references

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


def names(cases: list[dict[str, Any]]) -> list[str]:
    return [Path(case["image"]).name.removesuffix(".nii.gz") for case in cases]


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_every_list_is_read_as_it_stands(tmp_path: Path, part: str) -> None:
    lists = {"training": pairs("a", "b"), "validation": pairs("c"), "test": pairs("d", "e", "f")}
    cases = read_datalist(dataset(tmp_path, **lists), part)
    assert cases == [{key: str(tmp_path / value) for key, value in item.items()} for item in lists[part]]


def test_the_paths_of_a_relative_folder_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path / "data", training=pairs("a"), validation=pairs("b"))
    monkeypatch.chdir(tmp_path)
    assert Path(read_datalist("data", "training")[0]["image"]) == tmp_path / "data" / "images" / "a.nii.gz"


def test_a_validation_list_is_split_off_by_the_seed(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs(*(f"{i:02d}" for i in range(20))))
    split = {
        (part, seed): names(read_datalist(tmp_path, part, 0.25, seed)) for part in ("training", "validation") for seed in (0, 1)
    }
    assert len(split["validation", 0]) == 5
    assert sorted(split["training", 0] + split["validation", 0]) == [f"{i:02d}" for i in range(20)]
    assert names(read_datalist(tmp_path, "validation", 0.25, seed=0)) == split["validation", 0]
    assert split["validation", 1] != split["validation", 0]


def test_a_case_of_several_files_keeps_their_order(tmp_path: Path) -> None:
    case = {"image": ["t2.nii", "t1.nii"], "label": "mask.nii"}
    dataset(tmp_path, training=[case], validation=pairs("a"))
    assert read_datalist(tmp_path, "training")[0]["image"] == [str(tmp_path / "t2.nii"), str(tmp_path / "t1.nii")]


def test_references_keep_the_label_apart_and_name_the_mask(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs("a"), validation=pairs("b"))
    (case,) = read_references(tmp_path, "validation")
    expected = {"image": tmp_path / "images" / "b.nii.gz", "reference": tmp_path / "labels" / "b.nii.gz", "name": "b_seg"}
    assert case == {key: str(value) for key, value in expected.items()}


def remove_a_file(folder: Path) -> None:
    (folder / "labels" / "a.nii.gz").unlink()


def leave_by_dots(folder: Path) -> None:
    dataset(folder, training=[{"image": "../outside.nii", "label": "labels/a.nii.gz"}], validation=pairs("c"))


def leave_by_an_absolute_path(folder: Path) -> None:
    outside = str(folder.parent / "outside.nii")
    dataset(folder, training=[{"image": "images/a.nii.gz", "label": outside}], validation=pairs("c"))


def leave_by_a_link(folder: Path) -> None:
    (folder.parent / "outside.nii").touch()
    (folder / "images" / "a.nii.gz").unlink()
    (folder / "images" / "a.nii.gz").symlink_to(folder.parent / "outside.nii")


def leave_in_a_list(folder: Path) -> None:
    dataset(folder, training=[{"image": ["a.nii", "../outside.nii"], "label": "b.nii"}], validation=pairs("c"))


def break_the_json(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"training": [')


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


def write_bare_paths(folder: Path) -> None:
    dataset(folder, training=["images/a.nii.gz"], validation=pairs("c"))


def write_a_number_as_path(folder: Path) -> None:
    (folder / "dataset.json").write_text(json.dumps({"training": [{"image": 3, "label": 4}], "validation": pairs("c")}))


def drop_a_label(folder: Path) -> None:
    dataset(folder, training=[{"image": "images/a.nii.gz"}], validation=pairs("c"))


def drop_an_image(folder: Path) -> None:
    dataset(folder, training=[{"label": "labels/a.nii.gz"}], validation=pairs("c"))


def leave_one_case_to_split(folder: Path) -> None:
    dataset(folder, training=pairs("a"))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (remove_a_file, "a.nii.gz"),
        (leave_by_dots, "outside.nii"),
        (leave_by_an_absolute_path, "outside.nii"),
        (leave_by_a_link, "a.nii.gz"),
        (leave_in_a_list, "outside.nii"),
        (break_the_json, "JSON"),
        (write_a_list, "object"),
        (write_another_encoding, "JSON"),
        (rename_the_key, "'training'"),
        (empty_the_list, "'training'"),
        (write_a_mapping, "'training'"),
        (write_bare_paths, "'training'"),
        (write_a_number_as_path, "'training'"),
        (drop_a_label, "label"),
        (drop_an_image, "image"),
        (leave_one_case_to_split, "validation"),
    ],
)
def test_a_wrong_dataset_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], named: str) -> None:
    folder = dataset(tmp_path / "data", training=pairs("a", "b"), validation=pairs("c"))
    assert names(read_datalist(folder, "training")) == ["a", "b"]  # accepted before it is damaged
    damage(folder)
    with pytest.raises(CaseError) as caught:
        read_datalist(folder, "training")
    assert caught.value.file == str(folder / "dataset.json")
    assert named in str(caught.value)


def test_no_dataset_json_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset\.json"):
        read_datalist(tmp_path, "training")


def test_the_dataset_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    dataset(tmp_path / "disk", training=pairs("a"), validation=pairs("b"))
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    assert names(read_datalist(tmp_path / "data", "training")) == ["a"]


def test_a_file_is_a_case(tmp_path: Path) -> None:
    file = tmp_path / "scan.v2.nii.gz"
    file.touch()
    assert find_images(file) == [{"image": str(file), "name": "scan.v2_seg"}]


def test_a_folder_is_searched_through_and_its_order_kept_in_the_names(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.nii", "sub/deep/b.nii.gz", "notes.txt", ".hidden.nii", "sub/scan.nii.gz.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    cases = {case["name"]: case["image"] for case in find_images(tmp_path)}
    files = {"a_seg": "a.nii", "b_seg": "b.nii.gz", "sub/deep/b_seg": "sub/deep/b.nii.gz"}
    assert list(cases.items()) == [(name, str(tmp_path / file)) for name, file in files.items()]


@pytest.mark.parametrize("test", [["images/d.nii.gz", "images/e.nii.gz"], pairs("d", "e")], ids=["strings", "dictionaries"])
def test_the_test_list_is_segmented(tmp_path: Path, test: list[Item]) -> None:
    cases = find_images(dataset(tmp_path, validation=pairs("c"), test=test) / "dataset.json")
    assert [case["name"] for case in cases] == ["d_seg", "e_seg"]
    assert names(cases) == ["d", "e"]


def test_without_a_test_list_the_validation_list_is_segmented(tmp_path: Path) -> None:
    cases = find_images(dataset(tmp_path, training=pairs("a"), validation=pairs("c"), test=[]) / "dataset.json")
    assert names(cases) == ["c"]


def test_two_images_of_one_mask_name_are_refused(tmp_path: Path) -> None:
    dataset(tmp_path, test=["first/scan.nii.gz", "second/scan.nii.gz"])
    with pytest.raises(CaseError, match=r"second/scan\.nii\.gz.*first/scan\.nii\.gz would get the same mask"):
        find_images(tmp_path / "dataset.json")


def test_one_name_in_two_formats_is_refused(tmp_path: Path) -> None:
    for name in ("scan.nii", "scan.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(CaseError, match="same mask"):
        find_images(tmp_path)


@pytest.mark.parametrize(("source", "named"), [("", "there is none"), ("dataset.json", "neither 'test' nor 'validation'")])
def test_nothing_to_segment_is_refused(tmp_path: Path, source: str, named: str) -> None:
    dataset(tmp_path, test=[], training=[])
    with pytest.raises(CaseError, match=named):
        find_images(tmp_path / source)


def test_an_input_that_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lost\.nii"):
        find_images(tmp_path / "lost.nii")


@pytest.mark.parametrize("name", ["with space", "it's", 'say "a"', "Hüfte_片", "a;b&c", "-rf", "dots..in.it"])
def test_unusual_names_reach_the_cases_unchanged(tmp_path: Path, name: str) -> None:
    dataset(tmp_path, training=pairs("a"), validation=pairs(name))
    image = str(tmp_path / "images" / f"{name}.nii.gz")
    assert read_datalist(tmp_path, "validation")[0]["image"] == image
    assert find_images(tmp_path / "dataset.json") == [{"image": image, "name": f"{name}_seg"}]
    assert {"image": image, "name": f"images/{name}_seg"} in find_images(tmp_path)


def test_a_case_error_survives_the_way_between_processes() -> None:
    error = CaseError("scan.nii", "the rule", "what was found", "the remedy")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is CaseError
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_what_a_folder_holds_besides_images_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.nii.gz", "notes.txt", "B.NII.GZ"):
        (tmp_path / name).touch()
    with caplog.at_level("WARNING"):
        assert len(find_images(tmp_path)) == 1
    assert "2 files" in caplog.text
    assert "notes.txt" in caplog.text
    assert "B.NII.GZ" in caplog.text


def test_an_image_in_training_and_validation_is_refused(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs("a", "b"), validation=pairs("c", "b"))
    for part in ("training", "validation"):
        with pytest.raises(CaseError, match=r"share images.*b\.nii\.gz"):
            read_datalist(tmp_path, part)
