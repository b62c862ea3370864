"""Whatever the product exports says what it takes and gives, with an example that runs."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOMS = ("data", "evaluation", "handlers", "inferers", "losses", "networks", "packages", "weights")
OF_RUN = [
    "run.check_config.check_config",
    "run.models_folder.models_folder",
    "run.plain_errors.show_plain_errors",
    "run.settings.read_settings",
]  # for the configs
EXPORTED = [*OF_RUN, *(f"{room}.{name}" for room in ROOMS for name in import_module(f"scripts.{room}").__all__)]
SECTION = re.compile(r"^(\w+):\n((?: {4}.+\n?|\n)+)", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
PARAGRAPH = re.compile(r"^(\w+): ", re.MULTILINE)


def locate(name: str) -> Any:
    module, _, thing = name.rpartition(".")
    return getattr(import_module(f"scripts.{module}"), thing)


def sections(documented: object) -> dict[str, str]:
    return dict(SECTION.findall(inspect.getdoc(documented) or ""))


@pytest.mark.parametrize("name", EXPORTED)
def test_the_example_runs_and_leaves_no_file_behind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (example,) = doctest.DocTestFinder(recurse=False).find(locate(name), name, globs={})
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert "".join(said) == ""
    assert [path for path in tmp_path.iterdir() if "torchinductor" not in path.name] == []  # torch's, at a first import


@pytest.mark.parametrize("name", EXPORTED)
def test_every_argument_is_described_and_no_other(name: str) -> None:
    described = ENTRY.findall(sections(locate(name)).get("Args", ""))
    taken = list(inspect.signature(locate(name)).parameters)
    assert described == taken


@pytest.mark.parametrize("name", [name for name in EXPORTED if inspect.isfunction(locate(name))])
def test_a_function_describes_what_it_returns(name: str) -> None:
    returns = inspect.signature(locate(name)).return_annotation
    assert ("Returns" in sections(locate(name))) == (returns is not None)


@pytest.mark.parametrize("name", EXPORTED)
def test_arguments_are_described_under_args_alone(name: str) -> None:
    thing = locate(name)
    methods = [method for key, method in vars(thing).items() if key[0] != "_" and inspect.isfunction(method)]
    for documented in [thing, *methods]:
        parameters = inspect.signature(documented).parameters
        assert parameters.keys().isdisjoint(PARAGRAPH.findall(inspect.getdoc(documented) or ""))
