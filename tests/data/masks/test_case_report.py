"""What became of each case -> report.json, readable after every case, and the exit code."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT

from scripts.data import CaseError, CaseReport
from scripts.data.formats.image_file import Note

WRITTEN = {"image": "/data/good.nii"}
REFUSED = {"image": ["/data/Hüfte 1.nii", "/data/Hüfte 2.nii"]}
ERROR = CaseError("/data/Hüfte 1.nii", "the rule", "the finding", "the remedy")


def chained(*errors: BaseException) -> BaseException:
    """The first error, caused by the second, and so on."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_the_file_holds_every_case_so_far_in_order(tmp_path: Path) -> None:
    report = CaseReport(tmp_path / "new folder")
    path = tmp_path / "new folder" / "report.json"
    report.done(WRITTEN, "/masks/good_seg.nii.gz")
    expected = [{"file": "/data/good.nii", "status": "written", "rule": None, "reason": None, "mask": "/masks/good_seg.nii.gz"}]
    assert json.loads(path.read_text(encoding="utf-8")) == expected
    report.refused(REFUSED, ERROR)
    reason = "the finding; the remedy"
    expected += [{"file": "/data/Hüfte 1.nii", "status": "refused", "rule": "the rule", "reason": reason, "mask": None}]
    assert json.loads(path.read_text(encoding="utf-8")) == expected
    assert {file.name for file in path.parent.iterdir()} == {"report.json", ".lock"}


def test_a_mask_that_holds_is_kept_though_something_beside_it_was_refused(tmp_path: Path) -> None:
    report, error = CaseReport(tmp_path), CaseError(*ERROR.args)
    error.mask = "/masks/a_seg.nii.gz"
    assert report.refused(WRITTEN, chained(RuntimeError("applying transform"), error)) == "/masks/a_seg.nii.gz"
    assert (report.entries[0]["status"], report.entries[0]["mask"]) == ("written", "/masks/a_seg.nii.gz")
    assert report.entries[0]["reason"] == "/data/Hüfte 1.nii: the finding; the remedy"
    with pytest.raises(SystemExit) as end:
        report.finish()
    assert end.value.code == 1


def test_the_rule_is_found_behind_what_wrapped_it(tmp_path: Path) -> None:
    report = CaseReport(tmp_path)
    report.refused(REFUSED, chained(RuntimeError("applying transform"), RuntimeError("again"), ERROR, OSError("behind it")))
    assert report.entries[0]["rule"] == "the rule"
    assert report.entries[0]["reason"] == "the finding; the remedy"


def test_another_error_is_named_by_its_first_cause(tmp_path: Path) -> None:
    report = CaseReport(tmp_path)
    report.refused(REFUSED, chained(RuntimeError("applying transform"), EOFError("the file ended early")))
    assert report.entries[0]["reason"] == "EOFError: the file ended early"
    assert report.entries[0]["rule"]


def test_a_refused_case_is_in_the_log_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    CaseReport(tmp_path).refused(REFUSED, ERROR)
    assert all(words in caplog.text for words in ("/data/Hüfte 1.nii", "the rule", "the finding", "the remedy"))


@pytest.mark.parametrize("refused_first", [True, False])
def test_the_process_fails_if_any_case_was_refused(tmp_path: Path, refused_first: bool) -> None:
    report = CaseReport(tmp_path)
    report.refused(REFUSED, ERROR) if refused_first else report.done(WRITTEN, "a")
    report.done(WRITTEN, "b") if refused_first else report.refused(REFUSED, ERROR)
    with pytest.raises(SystemExit) as caught:
        report.finish()
    assert caught.value.code == 1


def test_the_process_ends_well_if_every_case_was_written(tmp_path: Path) -> None:
    report = CaseReport(tmp_path)
    report.done(WRITTEN, "a")
    report.finish()
    assert [entry["status"] for entry in report.entries] == ["written"]


PUT_RIGHT = Note("lengths are in mm", "the header's are metres", corrected=True)
IN_DOUBT = Note("the header should say its unit", "it does not", corrected=False)


@pytest.mark.parametrize(
    ("notes", "mask", "status"),
    [
        ([], "a", "written"),
        ([], None, "accepted"),
        ([IN_DOUBT], "a", "written"),
        ([IN_DOUBT], None, "accepted"),
        ([IN_DOUBT, PUT_RIGHT], "a", "corrected"),
        ([PUT_RIGHT], None, "corrected"),
    ],
)
def test_what_is_odd_about_a_good_case_stands_in_its_entry_and_in_the_log(
    tmp_path: Path, notes: list[Note], mask: str | None, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    report = CaseReport(tmp_path)
    report.noted(WRITTEN, [("/data/good.nii", note) for note in notes])
    report.done(WRITTEN, mask)
    (entry,) = json.loads((tmp_path / "report.json").read_text())
    assert (entry["status"], entry["mask"]) == (status, mask)
    assert entry["rule"] == ("; ".join(note.rule for note in notes) or None)
    assert entry["reason"] == ("; ".join(note.found for note in notes) or None)
    assert all(f"/data/good.nii: {note.rule}; {note.found}" in caplog.text for note in notes)


def test_a_name_that_is_no_text_is_reported_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no UTF-8, and a line break that must not look like another line of the log."""
    name = "/data/h\udcfcfte\n2.nii"
    report = CaseReport(tmp_path)
    report.refused({"image": name}, CaseError(name, "the rule", "the finding", "the remedy"))
    assert json.loads((tmp_path / "report.json").read_text())[0]["file"] == name
    assert r"/data/h\udcfcfte\n2.nii: the rule" in caplog.text


def test_a_second_run_into_one_folder_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    CaseReport(tmp_path).refused(REFUSED, ERROR)
    before = (tmp_path / "report.json").read_bytes()
    code = f"from scripts.data import CaseReport; CaseReport({str(tmp_path)!r})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "belongs to another run" in run.stderr
    assert (tmp_path / "report.json").read_bytes() == before
