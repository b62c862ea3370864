"""The cases whose headers are in order go on; of every other one it is said at once what is wrong."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_phantom import write_series
from raw_nifti import write_nifti

from scripts.basics.case import Case, Listed, Refused
from scripts.data import CaseError, CaseReport, MaskRecords, check_headers, find_images
from scripts.data.cases.open_case import open_case
from scripts.files.checkpoint_file import write_checkpoint

LISTED = CaseError("dataset.json", "a case must name its image", "found None", "correct it")


def good(path: Path) -> Case:
    return {"image": write_nifti(path), "name": f"{path.stem}_seg"}


def as_listed(cases: list[Case]) -> list[Case]:
    """Without the headers, which must be there."""
    assert [case["opened"].images[0].path for case in cases] == [case["image"] for case in cases]
    return [{key: value for key, value in case.items() if key != "opened"} for case in cases]


def test_those_that_the_list_refuses_come_first_then_bad_cases_in_their_order_and_good_ones_go_on(tmp_path: Path) -> None:
    def metres(header: nib.Nifti1Header) -> None:
        header.set_xyzt_units("meter")

    truncated, unlisted = good(tmp_path / "truncated.nii"), Refused({"image": "entry 3", "name": "x"}, LISTED)
    Path(truncated["image"]).write_bytes(Path(truncated["image"]).read_bytes()[:400])
    noted = {"image": write_nifti(tmp_path / "noted.nii", affine=np.diag([1e-3, 1e-3, 1e-3, 1]), edit=metres)}
    first, last = good(tmp_path / "first.nii"), good(tmp_path / "last.nii")
    report = CaseReport(tmp_path / "out")
    found = check_headers(Listed([first, truncated, noted, last], [unlisted]), 1, report)
    assert as_listed(found) == [first, noted, last]
    assert [(entry["file"], entry["status"]) for entry in report.entries] == [
        ("entry 3", "refused"),
        (truncated["image"], "refused"),
    ]
    assert LISTED.rule in report.entries[0]["rule"]
    report.done(noted)
    assert report.entries[-1]["status"] == "corrected"
    assert "metres" in report.entries[-1]["reason"]


def test_a_label_on_another_grid_costs_its_case(tmp_path: Path) -> None:
    moved = np.eye(4)
    moved[0, 3] = 5
    case = {"image": write_nifti(tmp_path / "scan.nii"), "label": write_nifti(tmp_path / "truth.nii", affine=moved)}
    report = CaseReport(tmp_path / "out")
    assert check_headers(Listed([case], []), 1, report) == []
    assert str(tmp_path / "truth.nii") in report.entries[0]["reason"]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_reported_of_cases_in_order(tmp_path: Path, count: int) -> None:
    report = CaseReport(tmp_path / "out")
    assert len(check_headers(Listed([good(tmp_path / "scan.nii")] * count, []), 1, report)) == count
    assert report.entries == []


def test_the_mask_of_a_case_that_is_refused_now_is_discarded_and_no_other(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.pt", {})
    masks = MaskRecords(tmp_path / "out", tmp_path / "model.pt", "random", 0, torch.device("cpu"))
    cases = [good(tmp_path / f"{name}.nii") for name in ("stays", "spoiled", "unlisted", "foreign")]
    (tmp_path / "out").mkdir()
    for case in cases:
        record = masks.begin({**case, "opened": open_case(case)})
        mask = tmp_path / "out" / f"{case['name']}.nii.gz"
        mask.write_bytes(b"mask")
        if case is not cases[3]:  # that one is not ours
            masks.write(case, record, str(mask))
    for case in (cases[1], cases[3]):
        Path(case["image"]).write_bytes(b"")
    listed = Listed([cases[0], cases[1], cases[3]], [Refused(cases[2], LISTED)])
    assert as_listed(check_headers(listed, 1, CaseReport(tmp_path), masks)) == cases[:1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"stays_seg.nii.gz", "stays_seg.json", "foreign_seg.nii.gz"}


def test_a_wrong_entry_of_a_list_costs_no_mask_of_the_good_one_that_it_repeats(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.pt", {})
    image = write_nifti(tmp_path / "scan.nii")
    (tmp_path / "dataset.json").write_text(json.dumps({"test": [image, image, "lost.nii"]}))
    masks = MaskRecords(tmp_path / "out", tmp_path / "model.pt", "random", 0, "cpu", settings={"roi_depth": 32})
    listed = find_images(tmp_path / "dataset.json", tmp_path / "out")
    (case,) = check_headers(listed, 1, CaseReport(tmp_path / "out"), masks)
    mask = tmp_path / "out" / "scan_seg.nii.gz"
    record = masks.begin(case)
    mask.write_bytes(b"mask")
    masks.write(case, record, str(mask))
    report = CaseReport(tmp_path / "out")
    (again,) = check_headers(listed, 1, report, masks)
    assert masks.finished(again, masks.begin(again)) == str(mask)
    assert [entry["status"] for entry in report.entries] == ["refused"] * 2
    assert image not in {entry["file"] for entry in report.entries}


@pytest.mark.parametrize("moved", [[3, 4], [2, 4]], ids=["each a regular grid", "a gap in one"])
def test_parts_of_one_series_in_two_folders_are_refused_by_name(tmp_path: Path, moved: list[int]) -> None:
    """Each that is a regular grid would pass for a whole volume."""
    files = write_series(tmp_path / "first")
    write_series(tmp_path / "whole")
    (tmp_path / "second").mkdir()
    for k in moved:
        files[k].rename(tmp_path / "second" / files[k].name)
    report = CaseReport(tmp_path / "out")
    (found,) = check_headers(find_images(tmp_path, tmp_path / "out"), 1, report)
    assert found["image"] == str(tmp_path / "whole")
    entries = {Path(entry["file"]).name: entry for entry in report.entries}
    assert entries.keys() == {"first", "second"}
    assert entries["second"]["rule"] == "a series must lie in one folder"
    assert str(tmp_path / "first") in entries["second"]["reason"]
    if moved == [3, 4]:
        assert entries["first"]["rule"] == "a series must lie in one folder"
        assert str(tmp_path / "second") in entries["first"]["reason"]


def test_two_files_of_one_folder_may_stand_for_its_series(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    listed = Listed([{"image": str(file), "name": file.stem} for file in files[:2]], [])
    assert len(check_headers(listed, 1, CaseReport(tmp_path / "out"))) == 2
