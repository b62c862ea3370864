"""docs/reference.md names every id of the configs, with the default that it has there and what it changes."""

import inspect
import json
from pydoc import locate
from typing import Any

from conftest import ROOT
from markdown_tables import read_tables
from monai.bundle import ComponentLocator, ConfigParser

from scripts.run.settings import Changes, changed_by

CONFIGS = ROOT / "configs"
PATHS = [*(CONFIGS / f"{name}.json" for name in ("train", "evaluate", "inference")), *sorted(CONFIGS.glob("overlays/*.yaml"))]
FILES: dict[str, dict[str, Any]] = {path.stem: ConfigParser.load_config_file(str(path)) for path in PATHS}
PAGE = (ROOT / "docs" / "reference.md").read_text()
ROWS = [row for table in read_tables(PAGE).values() for row in table]
DEFAULTS = [(row["id"].strip("`"), name, row["default"].split("`")[1]) for row in ROWS for name in row["in"].split(", ")]
PLACES = [(identifier, name) for identifier, name, _ in DEFAULTS]


def ids_of(config: dict[str, Any]) -> set[str]:
    """Those at the top, of the groups `train` and `validate` their members instead. What begins with _ is no setting."""
    groups = {group for group in ("train", "validate") if group in config}
    members = {f"{group}#{member}" for group in groups for member in config[group]}
    return {key for key in config.keys() - groups if not key.startswith("_")} | members


def value_of(config: dict[str, Any], identifier: str) -> Any:
    """As the config has it; of an option that it leaves out, the default of the component that takes it."""
    if identifier in config:
        return config[identifier]
    parent, _, name = identifier.rpartition("#")
    if not parent:
        raise KeyError(identifier)
    node = value_of(config, parent)
    if isinstance(node, list):
        return node[int(name)]
    return node[name] if name in node else inspect.signature(component(node["_target_"])).parameters[name].default


def component(target: str) -> Any:
    return locate(target if "." in target else f"{ComponentLocator().get_component_module_name(target)}.{target}")


def written(value: Any) -> str:
    """As the page has it: JSON, strings without quotes, a component by its name alone."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and "_target_" in value:
        return value["_target_"].rpartition(".")[2]
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    return json.dumps(value)


def test_every_id_stands_in_the_page_once_for_each_file_that_has_it() -> None:
    assert len(PLACES) == len(set(PLACES))
    places = {(identifier, name) for name, config in FILES.items() for identifier in ids_of(config)}
    assert places - set(PLACES) == set()


def test_every_id_in_the_page_exists_and_has_this_default() -> None:
    in_the_configs = [(identifier, name, written(value_of(FILES[name], identifier))) for identifier, name in PLACES]
    assert in_the_configs == DEFAULTS


def test_what_an_id_changes_is_what_the_run_goes_by() -> None:
    shown = {row["id"]: row["changes"] for row in ROWS}
    assert shown == {identifier: changed_by(identifier.strip("`").lstrip("+")).name.lower() for identifier in shown}
    assert [kind for kind in Changes if f"\n| {kind.name.lower()} | " not in PAGE] == []


def test_every_row_says_what_the_id_means_and_why_it_has_this_value() -> None:
    assert [row["id"] for row in ROWS if not (row["meaning"].strip(" -") and row["why this value"].strip(" -"))] == []
