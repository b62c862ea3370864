"""Cases whose labels tell of some classes only: what their lists say, what is read of them, and what is refused."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import list_data_collate

from scripts.basics.case import Case
from scripts.data import (
    CaseError,
    CaseReport,
    RandCropLabelledd,
    ReadCased,
    check_training,
    label_sets,
    read_datalist,
    read_references,
)
from scripts.data.onboarding.read_list import MADE_BY
from scripts.data.onboarding.write_dataset import write_dataset

LABELS = {"0": "background", "1": "liver", "2": "kidney", "7": "Spleen"}
SHAPE = (6, 5, 4)


def dataset(folder: Path, *annotated: Any, values: tuple[int, ...] = (0, 1, 2, 7)) -> Path:
    """A case of these values for each of `annotated`, None: nothing is said; the first one is for validation."""
    generator, entries = np.random.default_rng(0), []
    for number, said in enumerate(annotated):
        entry = {"image": f"{number}.nii.gz", "label": f"{number}_label.nii.gz"}
        nib.save(nib.Nifti1Image(generator.normal(100, 20, SHAPE).astype(np.float32), np.eye(4)), folder / entry["image"])
        voxels = generator.permutation(np.resize(values, SHAPE).ravel()).reshape(SHAPE)
        nib.save(nib.Nifti1Image(voxels.astype(np.uint8), np.eye(4)), folder / entry["label"])
        entries.append(entry if said is None else {**entry, "annotated": said})
    (folder / "dataset.json").write_text(json.dumps({"training": entries[1:], "validation": entries[:1]}))
    return folder


def listed(folder: Path) -> list[Case]:
    return read_datalist(folder, labels=LABELS)["training"].cases


def test_the_same_annotation_has_the_same_number_and_a_whole_one_none(tmp_path: Path) -> None:
    dataset(tmp_path, ["kidney"], ["spleen", "Liver"], None, ["kidney"], ["liver", "spleen"], ["kidney", "spleen", "liver"])
    found = read_datalist(tmp_path, labels=LABELS)
    cases = found["training"].cases
    assert [case.get("annotated") for case in cases] == [["liver", "Spleen"], None, ["kidney"], ["liver", "Spleen"], None]
    numbers = [case.get("label_set") for case in [*found["validation"].cases, *cases]]
    assert numbers == [0, 1, None, 0, 1, None]
    assert label_sets({part: parts.cases for part, parts in found.items()}, LABELS) == {0: [1, 3], 1: [2]}


def test_without_the_key_there_are_no_sets(tmp_path: Path) -> None:
    cases = listed(dataset(tmp_path, None, None))
    assert [sorted(case) for case in cases] == [["image", "label"]]
    assert label_sets({"training": cases}, LABELS) == {}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([], r"found \[\]"),
        ("liver", "found 'liver'"),
        ([1], r"found \[1\]"),
        (["liver", "tumour"], "found 'tumour', which is none of liver, kidney, Spleen"),
        (["background"], "found 'background', which is none of"),
        (None, ""),
    ],
)
def test_what_is_no_list_of_the_preset_s_structures_is_refused(tmp_path: Path, said: Any, found: str) -> None:
    listed = read_datalist(dataset(tmp_path, None, ["liver"], said), labels=LABELS)["training"]
    assert len(listed.cases) + len(listed.refused) == 2
    for case, error in listed.refused:
        assert case["image"].endswith("dataset.json, entry 2 of 'training'")
        with pytest.raises(CaseError, match=f"annotated must list names of the preset's labels; {found}.*without it the label"):
            raise error
    assert bool(listed.refused) == (said is not None)


@pytest.mark.parametrize("key", ["label", "reference"])
def test_a_label_with_a_class_that_is_not_annotated_is_refused(tmp_path: Path, key: str) -> None:
    (case,) = listed(dataset(tmp_path, None, ["liver", "kidney"]))
    case = {"image": case["image"], key: case["label"], "annotated": case["annotated"]}
    with pytest.raises(
        CaseError, match=r"1_label.nii.gz: .*alone; found 7 \(Spleen\) and annotated lists liver, kidney; correct"
    ):
        ReadCased(1, LABELS)(case)


def test_background_becomes_its_set_and_a_reference_stays_as_it_is(tmp_path: Path) -> None:
    dataset(tmp_path, None, ["kidney"], ["liver", "spleen"], values=(0, 0))
    cases = listed(tmp_path)
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[:2], voxels[4:] = 7, 9
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), cases[1]["label"])
    read = ReadCased(1, LABELS, ignore_label=[9])
    found = read(cases[1])
    np.testing.assert_array_equal(found["label"][0], np.select([voxels == 7, voxels == 9], [3, 4], -2))
    assert set(found) == {"image", "label"}  # what some cases have and some have not is in no batch
    (reference,) = read_references(dataset(tmp_path, ["kidney"], None, values=(0, 2)), "validation", labels=LABELS).cases
    found = read(reference)
    assert found["reference"].unique().tolist() == [0, 2]
    assert list_data_collate([found])["annotated"] == [("kidney",)]


def test_another_annotation_of_the_same_files_is_another_case(tmp_path: Path) -> None:
    """For a run that is resumed, and for what is remembered as checked."""
    contents = []
    for said in (None, ["liver", "kidney"], ["liver", "spleen"]):
        report = CaseReport(tmp_path / "out")
        found = read_datalist(dataset(tmp_path, None, said, values=(0, 1)), labels=LABELS)
        found = check_training(found, 1, [ReadCased(1, LABELS)], report, tmp_path / "checked.json")
        contents.append(found["training"][0]["contents"])
    assert len(set(contents)) == 3
    found = read_datalist(dataset(tmp_path, None, ["kidney", "spleen"], values=(0, 1)), labels=LABELS)
    with pytest.raises(CaseError, match="1 of 2 are refused"):
        check_training(found, 1, [ReadCased(1, LABELS)], CaseReport(tmp_path / "out"), tmp_path / "checked.json")


@pytest.mark.parametrize(("pos", "centre"), [(1, 3), (0, 0)])
def test_crops_are_centred_on_what_is_annotated_or_on_the_rest(pos: int, centre: int) -> None:
    label = torch.full((1, 8, 8, 9), -2.0)
    label[..., 4] = 3
    crop = RandCropLabelledd(keys="label", label_key="label", spatial_size=(1, 1, 1), pos=pos, neg=1 - pos, num_samples=20)
    found = {float(one["label"]) for one in crop({"label": label})}
    assert found == ({3.0} if centre else {-2.0})


def test_sam3d_dataset_keeps_what_a_list_says(tmp_path: Path) -> None:
    said = [["kidney"], ["liver", "Spleen"], None]
    path, _ = write_dataset(dataset(tmp_path, *said), overwrite=True)
    content = json.loads(path.read_text())
    assert content["description"] == MADE_BY
    assert [entry.get("annotated") for entry in content["validation"] + content["training"]] == said


def test_sam3d_dataset_keeps_what_was_written_into_its_own_list(tmp_path: Path) -> None:
    path, _ = write_dataset(dataset(tmp_path, None, None, None), overwrite=True)
    content = json.loads(path.read_text())
    content["training"][0]["annotated"] = ["kidney"]
    content["validation"][0]["annotated"] = ["liver", "Spleen"]
    path.write_text(json.dumps(content))
    _, report = write_dataset(tmp_path, overwrite=True)
    assert json.loads(path.read_text()) == content
    assert "annotated   2 of 3 cases are labelled for some structures alone" in report
    content["training"][0]["annotated"] = "kidney"
    path.write_text(json.dumps(content))
    with pytest.raises(CaseError, match="annotated must list names"):
        write_dataset(tmp_path, overwrite=True)
    assert json.loads(path.read_text()) == content


@pytest.mark.parametrize(("key", "refused"), [("annoted", True), ("Annotated", True), ("annotation", False), ("fold", False)])
def test_a_misspelt_key_is_no_fully_labelled_case(tmp_path: Path, key: str, refused: bool) -> None:
    content = json.loads((dataset(tmp_path, None, None) / "dataset.json").read_text())
    content["training"][0][key] = ["liver"]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    found = read_datalist(tmp_path, labels=LABELS)["training"]
    assert bool(found.refused) is refused
    for _, error in found.refused:
        with pytest.raises(CaseError, match=f"entry 1 of 'training': annotated must be spelt so; found '{key}'; write annot"):
            raise error


def test_cases_that_tell_of_no_region_are_refused() -> None:
    regions = {"all": [1, 2, 7], "spleen": [7]}
    for annotated, refused in ((["liver", "Spleen"], False), (["liver", "kidney"], True)):
        cases: dict[str, list[Case]] = {"training": [{"image": "a", "annotated": annotated, "label_set": 0}]}
        if refused:
            with pytest.raises(
                ValueError, match="annotated for liver, kidney alone tell of no region: each of all, spleen has"
            ):
                label_sets(cases, LABELS, regions)
        else:
            assert label_sets(cases, LABELS, regions) == {0: [2]}


def test_a_merged_class_is_annotated_where_all_its_labels_are(tmp_path: Path) -> None:
    folder = dataset(tmp_path, None, ["liver", "kidney"], ["kidney", "Spleen"], ["liver", "kidney", "Spleen"], values=(0, 2))
    merged = {"abdomen": ["liver", "Spleen"], "kidney": ["kidney"]}
    found = read_datalist(folder, labels=LABELS, merge_labels=merged)
    assert [case.get("annotated") for case in found["training"].cases] == [["kidney"], ["kidney"], None]
    classes = {"0": "background", "1": "abdomen", "2": "kidney"}
    cases = {part: listed.cases for part, listed in found.items()}
    assert label_sets(cases, classes) == {0: [1]}
    (first, *_) = found["training"].cases
    read = ReadCased(1, LABELS, merge_labels=merged)(first)
    assert sorted(read["label"].unique().tolist()) == [-1, 2]


def test_a_case_that_tells_of_no_merged_class_is_refused(tmp_path: Path) -> None:
    folder = dataset(tmp_path, ["liver"], None)
    merged = {"abdomen": ["liver", "Spleen"]}
    said = "annotated for liver alone, it tells of no class: each of abdomen"
    with pytest.raises(ValueError, match=said):
        read_datalist(folder, labels=LABELS, merge_labels=merged)
    with pytest.raises(ValueError, match=said):
        read_references(folder, "validation", labels=LABELS, merge_labels=merged)
