"""Titles, words and rows -> a section of Markdown with a table."""

from collections.abc import Iterable, Sequence

Cell = str | float | int


def markdown_section(title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Floats are rounded to three digits."""
    lines = [f"## {title}", "", text, "", _line(columns), _line(["---"] * len(columns))]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row of {len(row)} cells in a table of {len(columns)} columns: {row}")
        lines.append(_line([_cell(value) for value in row]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Cell) -> str:
    return three_digits(value) if isinstance(value, float) else str(value)


def three_digits(value: float) -> str:
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"
