"""README.md and docs: every link leads somewhere, every path is there, every `sam3d` line is one that the command takes."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
LABORATORY = (ROOT / "docs" / "research").is_dir()  # the product does without it; then its pages and files are not looked for
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w/.])(?:configs|scripts|tests|docs)/[\w./*-]*[\w*]")
SOURCES = (".py", ".yaml", ".json")
# Files that a reader is to write, and those that packages have.
EXAMPLES = ("few_convolutions", "mine.yaml", "docs/report.html", "docs/metrics.json")


def is_elsewhere(path: str) -> bool:
    return "research" in path.split("/") and not LABORATORY


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(page.read_text()):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        is_there = target.is_file() and (not anchor or anchor in anchors(target))
        is_there = is_there or re.match(r"\w+:", link) or is_elsewhere(link)
        broken += [] if is_there else [link]
    return broken


def missing_paths(file: Path) -> list[str]:
    paths = [path for path in PATH.findall(file.read_text()) if not any(name in path for name in EXAMPLES)]
    return [path for path in paths if not any(ROOT.glob(path)) and not is_elsewhere(path)]


def commands(page: Path) -> list[str]:
    """Lines that begin with `sam3d`, as in an indented block, and such commands within a sentence that have an option."""
    text = page.read_text()
    lines = re.findall(r"^ +(sam3d .*)$", text, re.MULTILINE)
    return lines + [code for code in re.findall(r"`(sam3d [^`]*)`", text) if " --" in code]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_and_every_picture_is_there(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n[a](other.md) ![b](b.png) [c](#a-page) [d](page.md#nothing) [e](https://example.org)\n")
    assert broken_links(page) == ["other.md", "b.png", "page.md#nothing"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_of_the_bundle_is_there(page: Path) -> None:
    assert missing_paths(page) == []


def test_every_path_that_code_and_configs_name_is_there() -> None:
    files = [path for folder in ("scripts", "configs") for path in (ROOT / folder).rglob("*") if path.suffix in SOURCES]
    missing = {file.relative_to(ROOT).as_posix(): missing_paths(file) for file in files}
    assert {file: paths for file, paths in missing.items() if paths} == {}


def test_every_page_of_docs_is_linked_from_another() -> None:
    linked = {(page.parent / link.split("#")[0]).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    assert [name for name, page in zip(NAMES, PAGES, strict=True) if page not in linked] == ["README.md"]


def refusal(line: str) -> str | None:
    """Why `sam3d` would not take this line: by its names of commands and options, and by what is required.

    Values are not looked at: whether a file is there depends on the reader.
    """
    front_door = pytest.importorskip("scripts.__main__", reason="the command sam3d is not there")
    from typer.main import get_command

    name, *words = shlex.split(line, comments=True)[1:]
    command = get_command(front_door.app).commands.get(name)
    if command is None:
        return None if name == "compare" and not LABORATORY else f"no command {name}"
    try:
        given, surplus, _ = command.make_parser(command.make_context(name, [], resilient_parsing=True)).parse_args(words)
    except Exception as error:  # click's, for an option that is not there or lacks its value
        return str(error)
    missing = {parameter.name for parameter in command.params if parameter.required and not given.get(parameter.name)}
    return f"surplus {surplus}, missing {missing}" if surplus or missing else None


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_line_with_sam3d_is_one_that_the_command_takes(page: Path) -> None:
    assert {line: why for line in commands(page) if (why := refusal(line))} == {}


@pytest.mark.parametrize("line", ["sam3d trian DATA", "sam3d train DATA --prset mine", "sam3d train DATA", "sam3d cache A B"])
def test_a_line_that_the_command_does_not_take_is_found(line: str) -> None:
    assert refusal(line)
