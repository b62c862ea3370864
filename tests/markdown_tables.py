"""A page of Markdown -> of every section, the rows of its table by column."""


def read_tables(markdown: str) -> dict[str, list[dict[str, str]]]:
    found = {}
    for section in markdown.split("\n## ")[1:]:
        columns, _, *rows = [line[2:-2].split(" | ") for line in section.splitlines() if line.startswith("|")]
        found[section.splitlines()[0]] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found
