"""What GitHub, Zenodo and a reader look for beside the code: in the form that they read, and in agreement with it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

GITHUB = ROOT / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_version_is_the_same_everywhere() -> None:
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    released = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {metadata["version"], load(ROOT / "CITATION.cff")["version"], released[0]} == {VERSION}
    assert list(metadata["changelog"]) == released


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    for heading in re.findall(r"^## .*$", text, re.MULTILINE):
        assert re.fullmatch(r"## \[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d|unreleased)", heading)
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_has_what_its_format_requires() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert all(isinstance(citation[key], str) for key in ("title", "message", "version", "license", "abstract"))
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": json.loads((ROOT / "configs" / "metadata.json").read_text())["authors"]}]


def test_continuous_integration_runs_lint_and_tests_on_every_supported_python() -> None:
    workflow = load(GITHUB / "workflows" / "ci.yml")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML reads `on` as true
    [job] = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python-version"] == ["3.11", "3.12", "3.13"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert lowest == ">=" + job["strategy"]["matrix"]["python-version"][0]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_requires(path: Path) -> None:
    form = load(path)
    assert all(isinstance(form[key], str) for key in ("name", "description"))
    assert any(field["type"] != "markdown" for field in form["body"])
    identifiers = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(identifiers) == len(set(identifiers))
    for field in form["body"]:
        assert field["type"] in FIELDS
        assert isinstance(field["attributes"]["value" if field["type"] == "markdown" else "label"], str)
        assert set(field.get("validations", {})) <= {"required"}


def test_the_templates_name_files_that_are_there() -> None:
    texts = [path.read_text() for path in (*FORMS, GITHUB / "pull_request_template.md", ROOT / "SECURITY.md")]
    named = {name for text in texts for name in re.findall(r"[\w./]+\.(?:md|py|yml)\b", text)}
    assert {"SECURITY.md", "CHANGELOG.md", "docs/troubleshoot.md"} <= named
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_the_image_runs_as_a_user_without_rights_and_is_built_from_what_the_wheel_needs() -> None:
    steps = re.findall(r"^([A-Z]+) (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [value for step, value in steps if step == "USER"] == ["${USER_ID}"]
    assert dict(steps)["ENTRYPOINT"] == '["sam3d"]'
    assert {value.partition("=")[0] for step, value in steps if step == "ARG"} == {"TORCH_BUILD", "WEIGHTS", "USER_ID"}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["sam3d_bundle"]
    needed = {name if name.startswith("models/") else name.split("/")[0] for name in package}
    assert {line[1:] for line in lines if line[0] == "!"} == needed | {"README.md", "pyproject.toml", "requirements.txt"}


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    if not linter.is_file():
        pytest.skip("hadolint is not installed: pip install -r requirements-dev.txt, which has none for Windows")
    result = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")
