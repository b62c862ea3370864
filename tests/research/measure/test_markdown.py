"""Tables that people read."""

import pytest

from scripts.research.measure import markdown_section


def test_a_section_is_a_title_words_and_a_table() -> None:
    section = markdown_section("Encoder", "16 slices.", ["slice", "ratio"], [["128 px", 1.9649], ["256 px", 2]])
    assert section == "## Encoder\n\n16 slices.\n\n| slice | ratio |\n| --- | --- |\n| 128 px | 1.96 |\n| 256 px | 2 |\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "1.00"), (12.345, "12.3"), (2494.4, "2494"), (0.0123, "0.0123"), (8.7e-7, "8.7e-07"), (0.0, "0.00")],
)
def test_numbers_have_the_digits_that_are_known(value: float, shown: str) -> None:
    assert f"| {shown} |" in markdown_section("", "", [""], [[value]])


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells in a table of 2 columns"):
        markdown_section("", "", ["a", "b"], [["x"]])
