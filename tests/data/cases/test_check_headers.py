"""The cases whose headers are in order go on; of every other one it is said at once what is wrong."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from raw_nifti import write_nifti

from scripts.data import CaseError, CaseReport, MaskRecords, check_headers

LISTED = CaseError("dataset.json", "a case must name its image", "found None", "correct it")


def good(path: Path) -> dict[str, str]:
    return {"image": write_nifti(path), "name": f"{path.stem}_seg"}


def test_bad_cases_are_refused_in_their_order_and_good_ones_go_on(tmp_path: Path) -> None:
    def metres(header: nib.Nifti1Header) -> None:
        header.set_xyzt_units("meter")

    truncated, listed = good(tmp_path / "truncated.nii"), {"image": "entry 3", "name": "x", "error": LISTED}
    Path(truncated["image"]).write_bytes(Path(truncated["image"]).read_bytes()[:400])
    noted = {"image": write_nifti(tmp_path / "noted.nii", affine=np.diag([1e-3, 1e-3, 1e-3, 1]), edit=metres)}
    first, last = good(tmp_path / "first.nii"), good(tmp_path / "last.nii")
    report = CaseReport(tmp_path / "out")
    assert check_headers([first, truncated, listed, noted, last], 1, report) == [first, noted, last]
    assert [(entry["file"], entry["status"]) for entry in report.entries] == [
        (truncated["image"], "refused"),
        ("entry 3", "refused"),
    ]
    assert LISTED.rule in report.entries[1]["rule"]
    report.done(noted)
    assert report.entries[-1]["status"] == "corrected"
    assert "metres" in report.entries[-1]["reason"]


def test_a_label_on_another_grid_costs_its_case(tmp_path: Path) -> None:
    moved = np.eye(4)
    moved[0, 3] = 5
    case = {"image": write_nifti(tmp_path / "scan.nii"), "label": write_nifti(tmp_path / "truth.nii", affine=moved)}
    report = CaseReport(tmp_path / "out")
    assert check_headers([case], 1, report) == []
    assert str(tmp_path / "truth.nii") in report.entries[0]["reason"]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_reported_of_cases_in_order(tmp_path: Path, count: int) -> None:
    report = CaseReport(tmp_path / "out")
    assert len(check_headers([good(tmp_path / "scan.nii")] * count, 1, report)) == count
    assert report.entries == []


def test_the_mask_of_a_case_that_is_refused_now_is_discarded_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    masks = MaskRecords(tmp_path / "out", tmp_path / "model.pt", "random", 0, torch.device("cpu"))
    cases = [good(tmp_path / f"{name}.nii") for name in ("stays", "spoiled", "foreign")]
    (tmp_path / "out").mkdir()
    for case in cases:
        record, mask = masks.begin(case), tmp_path / "out" / f"{case['name']}.nii.gz"
        mask.write_bytes(b"mask")
        if case is not cases[2]:  # that one is not ours
            masks.write(case, record, str(mask))
    for case in cases[1:]:
        Path(case["image"]).write_bytes(b"")
    assert check_headers(cases, 1, CaseReport(tmp_path), masks) == cases[:1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"stays_seg.nii.gz", "stays_seg.json", "foreign_seg.nii.gz"}
