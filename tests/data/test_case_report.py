"""What became of each case -> report.json, readable after every case, and the exit code."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.data import CaseError, CaseReport

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
    report.written(WRITTEN, "/masks/good_seg.nii.gz")
    expected = [{"file": "/data/good.nii", "status": "written", "rule": None, "reason": None, "mask": "/masks/good_seg.nii.gz"}]
    assert json.loads(path.read_text(encoding="utf-8")) == expected
    report.refused(REFUSED, ERROR)
    reason = "the finding; the remedy"
    expected += [{"file": "/data/Hüfte 1.nii", "status": "refused", "rule": "the rule", "reason": reason, "mask": None}]
    assert json.loads(path.read_text(encoding="utf-8")) == expected
    assert list(path.parent.iterdir()) == [path]


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
    report.refused(REFUSED, ERROR) if refused_first else report.written(WRITTEN, "a")
    report.written(WRITTEN, "b") if refused_first else report.refused(REFUSED, ERROR)
    with pytest.raises(SystemExit) as caught:
        report.finish()
    assert caught.value.code == 1


def test_the_process_ends_well_if_every_case_was_written(tmp_path: Path) -> None:
    report = CaseReport(tmp_path)
    report.written(WRITTEN, "a")
    report.finish()
