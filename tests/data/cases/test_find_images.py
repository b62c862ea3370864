"""A file, a folder or a dataset.json -> every image once, each with a mask's name of its own, or a word on why not."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_phantom import SHAPE, write_series
from raw_nifti import write_nifti

from scripts.basics.case import Case, Listed, file_of
from scripts.data import CaseError, MaskRecords, find_images, read_references
from scripts.data.cases.open_case import open_case
from scripts.data.formats.dicom_series import open_series
from scripts.files.checkpoint_file import write_checkpoint

Item = dict[str, Any] | str


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def dataset(folder: Path, **lists: list[Item]) -> Path:
    """A dataset.json with these lists and, empty, every file inside its folder that they name."""
    values = [
        value for items in lists.values() for item in items for value in ([item] if isinstance(item, str) else item.values())
    ]
    touch(folder, *(file for value in values for file in (value if isinstance(value, list) else [value])))
    (folder / "dataset.json").write_text(json.dumps(lists, ensure_ascii=False), encoding="utf-8")
    return folder / "dataset.json"


def pairs(*names: str) -> list[Item]:
    return [{"image": f"./images/{name}.nii.gz", "label": f"./labels/{name}.nii.gz"} for name in names]


def good(listed: Listed) -> list[Case]:
    """All of them must be."""
    assert listed.refused == []
    return listed.cases


def errors_of(listed: Listed) -> dict[str, str]:
    """By file name."""
    return {Path(file_of(case)).name: str(error) for case, error in listed.refused}


def found(source: Path, output_dir: Path | None = None) -> list[tuple[str, str]]:
    """Image below the source, and the name of its mask; none may be refused."""
    cases = good(find_images(source, output_dir or source / "no such output"))
    folder = source if source.is_dir() else source.parent
    return [(str(Path(case["image"]).relative_to(folder)), case["name"]) for case in cases]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".NII.GZ"])
def test_a_file_is_a_case(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"scan.v2{suffix}"
    file.touch()
    assert good(find_images(file, tmp_path)) == [{"image": str(file), "name": "scan.v2_seg"}]


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "data/a.nii")
    monkeypatch.chdir(tmp_path)
    assert good(find_images("data", "masks")) == [{"image": str(tmp_path / "data" / "a.nii"), "name": "a_seg"}]


def test_a_folder_is_searched_through_and_its_order_kept_in_the_names(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b.nii.gz",
        "a.nii",
        "C.NRRD",
        "sub/deep/b.mha",
        "notes.txt",
        ".hidden.nii",
        ".git/a.nii",
        "sub/scan.nii.gz.part",
    )
    expected = [("C.NRRD", "C_seg"), ("a.nii", "a_seg"), ("b.nii.gz", "b_seg"), ("sub/deep/b.mha", "sub/deep/b_seg")]
    assert found(tmp_path) == expected


@pytest.mark.parametrize("test", [["images/d.nii.gz", "images/e.nii.gz"], pairs("d", "e")], ids=["strings", "dictionaries"])
def test_the_test_list_is_segmented(tmp_path: Path, test: list[Item]) -> None:
    path = dataset(tmp_path, validation=pairs("c"), test=test)
    assert found(path) == [("images/d.nii.gz", "d_seg"), ("images/e.nii.gz", "e_seg")]
    assert all(case.keys() == {"image", "name"} for case in good(find_images(path, tmp_path)))


def test_without_a_test_list_the_validation_list_is_segmented(tmp_path: Path) -> None:
    assert found(dataset(tmp_path, training=pairs("a"), validation=pairs("c"), test=[])) == [("images/c.nii.gz", "c_seg")]


def test_a_wrong_entry_of_a_list_is_refused_by_itself_and_costs_no_other(tmp_path: Path) -> None:
    path = dataset(tmp_path, test=["a.nii", "b.nii"])
    path.write_text(json.dumps({"test": ["lost.nii", "../a.nii", 7, "b.nii"]}))
    cases, refused = find_images(path, tmp_path / "masks")
    assert cases == [{"image": str(tmp_path / "b.nii"), "name": "b_seg"}]
    assert [file_of(case) for case, _ in refused] == [f"{path}, entry {number} of 'test'" for number in (1, 2, 3)]
    assert all("name" in case for case, _ in refused)  # by which a mask is looked for


def test_references_keep_the_label_apart_and_name_the_mask(tmp_path: Path) -> None:
    dataset(tmp_path, training=pairs("a"), validation=pairs("b"), test=pairs("c"))
    for part, name in (("training", "a"), ("validation", "b"), ("test", "c")):
        (case,) = good(read_references(tmp_path, part))
        files = {"image": tmp_path / "images" / f"{name}.nii.gz", "reference": tmp_path / "labels" / f"{name}.nii.gz"}
        assert case == {key: str(file) for key, file in files.items()} | {"name": f"{name}_seg"}
    with pytest.raises(ValueError, match="'validation' or 'test', got 'testing'"):
        read_references(tmp_path, "testing")


COLLISIONS = {
    "two formats": (["scan.nii", "scan.nii.gz"], ["other.nii"]),
    "three formats": (["scan.nii", "scan.nrrd", "scan.mha"], []),
    "below": (["sub/scan.nii", "sub/scan.mha"], ["scan.nii"]),
}


@pytest.mark.parametrize(("same", "others"), COLLISIONS.values(), ids=COLLISIONS)
def test_images_whose_masks_would_have_one_name_are_all_refused(tmp_path: Path, same: list[str], others: list[str]) -> None:
    touch(tmp_path, *same, *others)
    cases, refused = find_images(tmp_path, tmp_path / "out")
    errors = {file_of(case): str(error) for case, error in refused}
    assert errors.keys() == {str(tmp_path / name) for name in same}
    assert {file_of(case) for case in cases} == {str(tmp_path / name) for name in others}
    for name in same:
        assert "masks must not overwrite each other" in errors[str(tmp_path / name)]
        assert all(str(tmp_path / other) in errors[str(tmp_path / name)] for other in same)


def test_images_of_a_list_that_differ_in_their_folder_alone_are_named_after_their_paths(tmp_path: Path) -> None:
    path = dataset(tmp_path, test=["first/scan.nii.gz", "second/scan.nii.gz", "second/other.nii", "scan.nii"])
    expected = ["first/scan_seg", "second/scan_seg", "other_seg", "scan_seg"]
    assert [case["name"] for case in good(find_images(path, tmp_path / "out"))] == expected


def test_one_folder_a_patient_has_masks_of_its_own_in_inference_and_evaluation(tmp_path: Path) -> None:
    entries = [{"image": f"p{n}/image.nii.gz", "label": f"p{n}/label.nii.gz"} for n in range(3)]
    path = dataset(tmp_path, training=entries[:1], validation=entries[1:], test=entries[1:])
    names = ["p1/image_seg", "p2/image_seg"]
    assert [case["name"] for case in good(find_images(path, tmp_path / "out"))] == names
    assert [case["name"] for case in good(read_references(tmp_path, "validation"))] == names
    assert found(tmp_path) == [(f"p{n}/image.nii.gz", f"p{n}/image_seg") for n in range(3)]


def test_images_of_a_list_whose_masks_would_have_one_name_are_refused(tmp_path: Path) -> None:
    cases, refused = find_images(dataset(tmp_path, test=["a/scan.nii.gz", "a/scan.mha"]), tmp_path)
    assert (len(cases), len(refused)) == (0, 2)


def test_what_lies_in_the_output_folder_is_not_segmented(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "masks/a_seg.nii.gz", "masks/deep/x.nii", "masks2/b.nii")
    write_series(tmp_path / "masks" / "series")
    assert found(tmp_path, tmp_path / "masks") == [("a.nii", "a_seg"), ("masks2/b.nii", "masks2/b_seg")]


def test_an_output_folder_that_is_the_input_hides_nothing_but_its_own_masks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A mask is known by its record: another tool's segmentation is an image like any other."""
    image = write_nifti(tmp_path / "a.nii.gz")
    touch(tmp_path, "theirs_seg.nii.gz")
    write_checkpoint(tmp_path / "model.pt", {})
    records = MaskRecords(tmp_path, tmp_path / "model.pt", "random", 0, torch.device("cpu"))
    case: Case = {"image": image, "name": "a_seg", "opened": open_case({"image": image})}
    record = records.begin(case)
    records.write(case, record, write_nifti(tmp_path / "a_seg.nii.gz"))
    assert found(tmp_path, tmp_path) == [("a.nii.gz", "a_seg"), ("theirs_seg.nii.gz", "theirs_seg_seg")]
    assert "a_seg.nii.gz" in caplog.text


def test_the_labels_of_a_dataset_in_the_folder_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset(tmp_path, training=pairs("a"), test=[{"image": "images/b.nii.gz"}])
    touch(tmp_path, "labels/unlisted.nii.gz")
    assert [image for image, _ in found(tmp_path)] == ["images/a.nii.gz", "images/b.nii.gz", "labels/unlisted.nii.gz"]
    assert "labels/a.nii.gz" in caplog.text


def test_what_a_folder_holds_besides_images_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.nii.gz", "notes.txt", "sub/b.npy")
    assert len(found(tmp_path)) == 1
    assert all(words in caplog.text for words in ("2 files", "notes.txt", "sub/b.npy"))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "outside.nii", "data/a.nii")
    (tmp_path / "data" / "link.nii").symlink_to(tmp_path / "outside.nii")
    (tmp_path / "data" / "inside.nii").symlink_to(tmp_path / "data" / "a.nii")
    listed = find_images(tmp_path / "data", tmp_path / "out")
    assert [Path(file_of(case)).name for case in listed.cases] == ["a.nii", "inside.nii"]
    assert str(tmp_path / "outside.nii") in errors_of(listed)["link.nii"]


def test_a_linked_folder_is_not_entered(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/b.nii", "data/a.nii")
    (tmp_path / "data" / "sub").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    assert found(tmp_path / "data") == [("a.nii", "a_seg")]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "disk/a.nii")
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    assert found(tmp_path / "data") == [("a.nii", "a_seg")]


def test_a_folder_of_dicom_files_is_one_image(tmp_path: Path) -> None:
    write_series(tmp_path / "patient" / "thorax")
    write_series(tmp_path / "patient" / "no suffix", names=[f"IM{k}" for k in range(5)])
    touch(tmp_path, "a.nii", "patient/thorax/notes.txt")
    assert found(tmp_path) == [
        ("a.nii", "a_seg"),
        ("patient/no suffix", "patient/no suffix_seg"),
        ("patient/thorax", "patient/thorax_seg"),
    ]


def test_folders_that_hold_slices_are_found_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_series(folder / "b" / "deep")
    files = write_series(folder / "a", names=[f"IM{k}" for k in range(5)])
    write_series(folder / ".hidden")
    elsewhere = write_series(tmp_path / "elsewhere")
    (folder / "linked").symlink_to(elsewhere[0].parent)
    (folder / "links").mkdir()
    (folder / "links" / "slice0.dcm").symlink_to(elsewhere[0])
    shutil.copy(files[0], folder / "DICOMDIR")
    assert found(folder) == [("a", "a_seg"), ("b/deep", "b/deep_seg")]


def test_a_dicom_folder_given_itself_is_one_image(tmp_path: Path) -> None:
    write_series(tmp_path / "thorax")
    assert good(find_images(tmp_path / "thorax", tmp_path)) == [{"image": str(tmp_path / "thorax"), "name": "thorax_seg"}]


def test_dicom_folders_may_lie_in_the_output_folder_if_they_are_the_input(tmp_path: Path) -> None:
    write_series(tmp_path / "thorax")
    for output_dir in (tmp_path, tmp_path / "thorax"):
        assert found(tmp_path / "thorax", output_dir) == [(".", "thorax_seg")]


def test_one_file_of_a_dicom_folder_is_an_image_too(tmp_path: Path) -> None:
    file = write_series(tmp_path / "thorax")[0]
    assert good(find_images(file, tmp_path)) == [{"image": str(file), "name": "slice0_seg"}]


@pytest.mark.parametrize(("source", "named"), [("", "there is none"), ("dataset.json", "must list cases under 'validation'")])
def test_nothing_to_segment_is_refused(tmp_path: Path, source: str, named: str) -> None:
    dataset(tmp_path, test=[], training=[])
    with pytest.raises(CaseError, match=named):
        find_images(tmp_path / source, tmp_path / "out")


def test_a_folder_of_other_files_is_refused_with_their_number(tmp_path: Path) -> None:
    touch(tmp_path, "a.npy", "b.npy")
    with pytest.raises(CaseError, match="there is none, but 2 other files"):
        find_images(tmp_path, tmp_path / "out")


def test_an_input_that_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lost\.nii"):
        find_images(tmp_path / "lost.nii", tmp_path)


NAMES = [
    "with space",
    "it's",
    'say "a"',
    "Hüfte_片",
    "a;b&c",
    "-rf",
    "dots..in.it",
    "two\nlines",
    "tab\t",
    "$(x)",
    "%d",
    "@id",
    " ",
]


@pytest.mark.parametrize("name", NAMES)
def test_unusual_names_reach_the_cases_unchanged(tmp_path: Path, name: str) -> None:
    path = dataset(tmp_path, training=pairs("a"), validation=pairs(name))
    image = str(tmp_path / "images" / f"{name}.nii.gz")
    assert good(find_images(path, tmp_path)) == [{"image": image, "name": f"{name}_seg"}]
    assert {"image": image, "name": f"images/{name}_seg"} in good(find_images(tmp_path, tmp_path / "out"))
    assert good(find_images(image, tmp_path)) == [{"image": image, "name": f"{name}_seg"}]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let such a file be made")
def test_a_name_that_is_no_text_reaches_its_case_unchanged(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/h\xfcfte.nii"
    with open(name, "wb"):
        pass
    (case,) = good(find_images(tmp_path, tmp_path / "out"))
    assert os.fsencode(case["image"]) == name
    assert os.fsencode(case["name"]) == b"h\xfcfte_seg"


@pytest.mark.parametrize(
    ("letter", "letters", "fits"), [("a", 244, True), ("a", 245, False), ("ü", 122, True), ("ü", 123, False)]
)
def test_a_name_is_refused_only_if_that_of_its_mask_has_more_than_255_bytes(
    tmp_path: Path, letter: str, letters: int, fits: bool
) -> None:
    """x.nii -> x_seg.nii.gz"""
    touch(tmp_path, f"{letter * letters}.nii")
    listed = find_images(tmp_path, tmp_path / "out")
    assert (len(listed.cases), len(listed.refused)) == ((1, 0) if fits else (0, 1))
    assert all("a file's name may have 255 bytes" in error for error in errors_of(listed).values())


def test_of_an_image_in_two_files_only_the_header_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        nib.save(nib.Nifti1Pair(np.zeros((5, 4, 3), np.int16), np.eye(4)), tmp_path / f"{name}.hdr")
    (tmp_path / "b.hdr").unlink()
    (tmp_path / "c.mhd").write_text("ObjectType = Image\nDimSize = 1 1 1\nElementDataFile = c.raw")
    (tmp_path / "c.raw").touch()
    assert found(tmp_path) == [("a.hdr", "a_seg"), ("c.mhd", "c_seg")]  # damage is said when it is opened
    (line,) = [record.message for record in caplog.records if "no images" in record.message]
    assert line.endswith(": b.img")


def test_a_broken_dataset_json_among_images_costs_none_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "dataset.json").write_text("{")
    (tmp_path / "a.nii.gz").write_bytes(b"an image")
    assert [Path(case["image"]).name for case in good(find_images(tmp_path, tmp_path / "out"))] == ["a.nii.gz"]
    assert "dataset.json: must be JSON" in caplog.text


def test_linked_folders_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"an image")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(good(find_images(tmp_path / "in", tmp_path / "out"))) == 1
    assert "linked" in caplog.text


def test_an_image_a_thousand_folders_deep_costs_no_other(tmp_path: Path) -> None:
    place = str(tmp_path / "in")
    touch(tmp_path, "in/a.nii")
    for _ in range(1200):
        place += "/d"
        os.mkdir(place)
    Path(place, "b.nii").touch()
    try:
        listed = find_images(tmp_path / "in", tmp_path / "out")
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "in" / "d"], check=True)  # too deep for pytest to remove
    assert [case["name"] for case in listed.cases] == ["a_seg"]
    assert "200 folders deep" in errors_of(listed)["b.nii"]


def denied(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Whatever opens or lists one of these may not: as root, who may read everything, sees nobody else's limits."""

    def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
        def guard(path: Any, *args: Any, **options: Any) -> Any:
            if isinstance(path, str | Path) and Path(path).name in names:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *args, **options)

        return guard

    monkeypatch.setattr("io.open", guarded(io.open))
    monkeypatch.setattr("builtins.open", guarded(open))
    monkeypatch.setattr("os.scandir", guarded(os.scandir))


def test_files_and_folders_that_may_not_be_read_cost_themselves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "a.nii", "notes", "notes.txt", "closed/b.nii")
    (tmp_path / "dataset.json").write_text("{}")
    write_series(tmp_path / "series")
    (tmp_path / "series" / "readme.txt").write_text("hello")
    denied(monkeypatch, "notes", "notes.txt", "dataset.json", "closed", "readme.txt")
    listed = find_images(tmp_path, tmp_path / "out")
    assert [case["name"] for case in listed.cases] == ["a_seg", "series_seg"]
    assert "Permission denied" in errors_of(listed)["closed"]
    assert "unreadable (Permission denied), and are omitted: notes\n" in caplog.text
    assert "notes.txt" in caplog.text
    assert "dataset.json: the file must be readable" in caplog.text
    assert open_series(str(tmp_path / "series")).shape == SHAPE


def test_a_file_among_slices_that_may_not_be_read_costs_its_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the last slice."""
    write_series(tmp_path / "series", names=[f"IM{k}" for k in range(5)])
    denied(monkeypatch, "IM4")
    (case,) = find_images(tmp_path, tmp_path / "out").cases
    with pytest.raises(CaseError, match="Permission denied"):
        open_case(case)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("dataset.json")])
def test_a_dataset_json_that_is_no_file_costs_no_image(tmp_path: Path, make: Callable[[Path], object]) -> None:
    touch(tmp_path, "a.nii")
    make(tmp_path / "dataset.json")
    assert found(tmp_path) == [("a.nii", "a_seg")]


def test_a_folder_of_labels_is_no_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "labelsTr").mkdir()
    write_nifti(tmp_path / "labelsTr" / "a.nii.gz", np.ones((5, 4, 3), np.uint8))
    with pytest.raises(CaseError, match="there is none, but 1 other file"):
        find_images(tmp_path / "labelsTr", tmp_path / "out")
