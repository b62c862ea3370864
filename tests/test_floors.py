"""Which part of `scripts` may know which: read from the import statements, nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

SCRIPTS = ROOT / "scripts"
FLOORS = ["data", "evaluation", "handlers", "inferers", "losses", "networks", "weights"]  # beside each other
BELOW = ("atomic_write", "checkpoint_file", "disk_errors", "file_digest", "folder_lock", "running_config")  # all floors
LEAVES = tuple(f"scripts.{name}." for name in BELOW)
MODULES = sorted(SCRIPTS.rglob("*.py"))
NETWORKS = [path for path in sorted((SCRIPTS / "networks").rglob("*.py")) if path.name != "segment_anything.py"]
OUTSIDE = {"os", "pathlib", "logging", "io", "shutil", "tempfile"}  # what a network does not know
FILE_READERS = {"open", "fopen", "read_text", "read_bytes", "write_text", "write_bytes"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute dotted names, of every import anywhere in the file: `from ..data import x` gives `scripts.data.x`."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def test_every_folder_of_scripts_has_its_floor() -> None:
    folders = {path.name for path in SCRIPTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*FLOORS, "research", "tools"}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[len(SCRIPTS.parts)] in FLOORS], ids=name_of)
def test_floors_do_not_import_each_other(path: Path) -> None:
    own = f"scripts.{path.relative_to(SCRIPTS).parts[0]}"
    ours = {module for module in imported_modules(path) if module.split(".")[0] == "scripts"}
    assert {module for module in ours if not f"{module}.".startswith((f"{own}.", *LEAVES))} == set()


@pytest.mark.parametrize("path", NETWORKS, ids=name_of)
def test_networks_know_neither_files_nor_loggers(path: Path) -> None:
    assert {module for module in imported_modules(path) if module.split(".")[0] in OUTSIDE} == set()
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    called = {ast.unparse(function).split(".")[-1] for function in calls} | {ast.unparse(function) for function in calls}
    assert called & {*FILE_READERS, "torch.load", "torch.save"} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_named_by_what_they_do(path: Path) -> None:
    assert path.name not in {"utils.py", "helpers.py", "common.py"}


def test_the_product_does_not_know_the_laboratory() -> None:
    product = [path for path in MODULES if "research" not in path.relative_to(SCRIPTS).parts]
    knows = {name_of(path) for path in product if any(m.startswith("scripts.research") for m in imported_modules(path))}
    assert knows == set()
