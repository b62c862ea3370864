"""Which part of `scripts` may know which: read from the import statements, nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

SCRIPTS = ROOT / "scripts"
GROUND = {"basics", "files", "run"}  # what all stand on
FLOORS = {
    "data",
    "evaluation",
    "exporting",
    "handlers",
    "inferers",
    "losses",
    "networks",
    "packages",
    "weights",
}  # beside each other
ABOVE = {"tools", "research"}  # these may name anything
MODULES = sorted(SCRIPTS.rglob("*.py"))
OUTSIDE = {"os", "pathlib", "logging", "io", "shutil", "tempfile"}  # what a network does not know
FILE_READERS = {"open", "fopen", "read_text", "read_bytes", "write_text", "write_bytes", "torch.load", "torch.save"}


def room(path: Path) -> str:
    return path.relative_to(SCRIPTS).parts[0]


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute dotted names, of every import anywhere in the file: `from ..data import x` gives `scripts.data.x`."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def rooms_known_to(path: Path) -> set[str]:
    return {f"{module}.".split(".")[1] for module in imported_modules(path) if module.split(".")[0] == "scripts"}


def test_every_module_lies_in_a_room_and_is_named_by_what_it_does() -> None:
    assert {path.name for path in SCRIPTS.glob("*.py")} <= {"__init__.py", "__main__.py"}
    folders = {path.name for path in SCRIPTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - {"research"} == (GROUND | FLOORS | ABOVE) - {"research"}
    assert [path for path in MODULES if path.stem in ("utils", "helpers", "common")] == []


def test_floors_know_the_ground_and_themselves_alone() -> None:
    allowed = {**{name: GROUND | {name} for name in FLOORS}, **dict.fromkeys(GROUND, GROUND)}
    strays = {path: rooms_known_to(path) - allowed[room(path)] for path in MODULES if room(path) in allowed}
    assert {path.relative_to(ROOT).as_posix(): known for path, known in strays.items() if known} == {}


def test_the_product_does_not_know_the_laboratory() -> None:
    product = [path for path in MODULES if room(path) != "research"]
    assert [path for path in product if "research" in rooms_known_to(path)] == []


def test_networks_know_neither_files_nor_loggers() -> None:
    for path in (SCRIPTS / "networks").rglob("*.py"):
        if path.name == "segment_anything.py":  # finds a package's folder
            continue
        assert {module for module in imported_modules(path) if module.split(".")[0] in OUTSIDE} == set(), path
        functions = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert FILE_READERS.isdisjoint([*functions, *(name.split(".")[-1] for name in functions)]), path
