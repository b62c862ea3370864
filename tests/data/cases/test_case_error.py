"""An error about a file: one line, whatever the file's name, and whole on the other side of a process."""

import pickle

import pytest

from scripts.data import CaseError
from scripts.data.cases.case_error import first_line, printable


def test_a_case_error_survives_the_way_between_processes() -> None:
    error = CaseError("scan.nii", "the rule", "what was found", "the remedy")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is CaseError
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "no \udcff utf-8", "left\u202eright", "tab\t"])
def test_whatever_the_name_of_a_file_its_error_is_one_line_that_a_terminal_can_show(name: str) -> None:
    text = str(CaseError(f"{name}.nii", "the rule", "what was found", "the remedy"))
    assert text.isprintable()
    assert text.encode().decode().endswith(".nii: the rule; what was found; the remedy")


@pytest.mark.parametrize("name", ["Hüfte 片.nii", 'it\'s "a".nii', "-rf"])
def test_names_that_can_be_shown_stay_as_they_are(name: str) -> None:
    assert printable(name) == name


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  the first\nthe second"), "ValueError: the first"),
        (EOFError(), "EOFError"),
        (KeyError("dim"), "KeyError: 'dim'"),
    ],
)
def test_another_library_s_error_becomes_part_of_a_sentence(error: BaseException, line: str) -> None:
    assert first_line(error) == line
