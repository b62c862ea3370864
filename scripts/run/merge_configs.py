"""Config files and options -> one configuration, as MONAI merges them, or a sentence about the entry that it could not take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from .close_names import did_you_mean
from .config_files import read_config
from .config_walk import walk

NO_PLACE = "leads to no place of the configuration; correct it, or give the whole of what it is to be in"
# In an overlay: ids that must be there, or `ID = VALUE` that one must have, each with how a refusal goes on where it is not.
NEEDS = "_needs_"
CHOOSES = "_chooses_"  # in an overlay: of what it is one choice; another overlay of the same run may not be another


def merge_configs(files: Sequence[str], options: Mapping[str, Any]) -> tuple[ConfigParser, dict[str, str]]:
    """And by id who had the last word: `FILE: ` or `--`. Raises ValueError that names it, and the entry."""
    parser = ConfigParser({})
    said_by: dict[str, str] = {}
    needs: dict[str, dict[str, str]] = {}
    choices: dict[str, list[str]] = {}
    for file in files:
        content = read_config(Path(file))
        needs[file] = content.get(NEEDS, {})
        if CHOOSES in content:
            choices.setdefault(content[CHOOSES], []).append(Path(file).stem)
        for key, value in ConfigParser.load_config_file(file).items():
            try:
                _put(parser, key, value, f"{file}: {key}")
            except ValueError:
                _require(needs[file], parser, file)
                raise
            said_by[key.removeprefix("+").replace("::", "#")] = f"{file}: "
    for key, value in options.items():
        try:
            parser[key] = value
        except Exception as error:
            raise ValueError(f"--{key} {NO_PLACE}") from error
        said_by[key.replace("::", "#")] = "--"
    for file in files:
        _require(needs[file], parser, file)  # also where every entry found a place: it may have no effect
    for what, names in choices.items():
        if len(names) > 1:
            raise ValueError(f"{' and '.join(names)} each choose {what}; give one of them")
    return parser, said_by


def _require(needs: Mapping[str, str], parser: ConfigParser, file: str) -> None:
    for need, otherwise in needs.items():
        identifier, _, value = (part.strip() for part in need.partition("="))
        found = parser.get(identifier)
        if found is None or (value and str(found).lower() != value.lower()):
            raise ValueError(f"{Path(file).stem} does not fit this run: {otherwise}")


def replace_macros(parser: ConfigParser, said_by: Mapping[str, str]) -> None:
    """In place. Raises ValueError as above."""
    try:
        parser.resolve_macro_and_relative_ids()
    except Exception as error:  # whatever MONAI raises for one that leads nowhere
        raise ValueError(_wrong_macro(parser, said_by)) from error


def _put(parser: ConfigParser, key: Any, value: Any, entry: str) -> None:
    if not isinstance(key, str):
        raise ValueError(f"{entry} is no text, which the id of a setting must be; put it in quotes or correct it")
    try:
        merge_kv(parser, key, value)
    except Exception as error:  # of many kinds, about its own tables
        if key.startswith("+"):
            raise ValueError(
                f"{entry} can be added to nothing: what has a + must be a list or dictionary, as in its id"
            ) from error
        raise ValueError(f"{entry} {NO_PLACE}") from error


def _wrong_macro(parser: ConfigParser, said_by: Mapping[str, str]) -> str:
    for identifier, node in walk(parser.get()):
        if isinstance(node, str) and (macro := ConfigParser.resolve_relative_ids(identifier, node)).startswith("%"):
            path, name = ConfigParser.split_path_id(macro[1:])
            source = ConfigParser(read_config(Path(path))) if path else parser
            if name not in source:
                around = [key for key in said_by if f"{identifier}#".startswith(f"{key}#")]
                who = said_by[max(around, key=len)] if around else ""
                close = did_you_mean(name, source.get())
                return f"{who}{identifier} copies {node}, which is no id of {path or 'the configs'}{close}"
    return "a macro (%) of the configuration leads nowhere; correct it"
