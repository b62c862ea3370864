"""A run's configuration -> the same, or a sentence about what in it means nothing."""

import ast
import inspect
import re
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ComponentLocator, ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import ID_SEP_KEY

from .check_effect import check_effect, used_by
from .check_words import check_files, check_words
from .close_names import did_you_mean
from .command_line import CommandLine, read_command_line
from .config_walk import walk
from .expressions import UNKNOWN, Expressions, has_expression
from .merge_configs import CHOOSES, NEEDS
from .option_ranges import ARGUMENTS, PATH, RANGES, SWITCH, Range, contradictions
from .paths import EVALUATED

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = ("train.json", "evaluate.json", "inference.json")  # a preset serves all of them
SPECIAL = {"_target_", "_mode_", "_requires_", "_disabled_", "_desc_", "_meta_", NEEDS, CHOOSES}


def check_config(arguments: Sequence[str], values: MutableMapping[str, Any] | None = None) -> None:
    """The first step of every run. MONAI accepts any option and only stumbles, or does not, where it would be used.

    Args:
        arguments: `sys.argv`; where they are not those of `python -m monai.bundle run`, nothing is checked.
        values: by id, what the parts of the run will be given, as far as it is known. Expressions that were evaluated here are
            not evaluated again. Paths and the names of labels become what the user wrote, whatever fire and MONAI read in
            their place.

    Raises:
        ValueError: for an option or preset key that no config knows or that this run does not use, an argument that its
            component does not take, a component or reference that does not exist, a value of another kind or range than
            `RANGES` has, settings that contradict each other, a GPU that is not there, mixed precision without one, and a word
            that fire or MONAI would read as something else.

    Example:
        >>> from scripts.run.check_config import CONFIGS, check_config
        >>> check_config(["monai.bundle", "run", "training", f"--config_file={CONFIGS}/train.json", "--max_epoch=5"])
        Traceback (most recent call last):
            ...
        ValueError: 'max_epoch' is no option of this bundle and no id of its configs; did you mean max_epochs...
    """
    line = read_command_line(arguments)
    if line is None:
        return
    config = {key: value for key, value in line.config.items() if key not in SPECIAL}
    check_words(line)
    known = {key: value for name in RUNS for key, value in _load(CONFIGS / name).items()}
    check_files(line)
    _check_ids(config, known, {str(Path(file).absolute()) for file in line.files})
    check_effect(line, [file for file in line.files if Path(file).name in RUNS])
    for identifier, node in walk(config):
        if isinstance(node, str) and node.startswith("$"):
            _check_syntax(line, identifier, node)
    expressions = Expressions(config, used_by(line.run_id, ConfigParser(line.config)))
    plain = _check_values(line, config, known, expressions)
    locator = ComponentLocator()  # looks through all of MONAI, once
    for identifier, node in walk(config):
        if isinstance(node, dict) and "_target_" in node:
            _check_component(line, identifier, node, locator, expressions)
    for identifier, wrong in contradictions({**config, **plain}):
        raise ValueError(f"{_said_by(line, identifier)} {wrong}")
    parser = ConfigParser(config)
    for identifier, node in walk(config):
        if isinstance(node, str):
            _check_references(line, identifier, node, parser, config)
    if values is not None:
        values.update({**expressions.evaluated(), **values, **line.as_written})


def _said_by(line: CommandLine, identifier: str) -> str:
    """`--ID`, or `FILE: ID` where the last word on it is in a file."""

    def concerns(key: str) -> bool:
        key = key.lstrip("+").replace("::", "#")
        return f"{identifier}#".startswith(f"{key}#") or key.startswith(f"{identifier}#")

    file = next((file for file in reversed(line.files) if any(map(concerns, _load(Path(file))))), None)
    return f"--{identifier}" if file is None or any(map(concerns, line.options)) else f"{file}: {identifier}"


def _check_ids(config: dict[str, Any], known: dict[str, Any], given: set[str]) -> None:
    """given: the config files of the run. What the bundle's have is an option even where another one replaces its use."""
    for identifier, value in config.items():
        if identifier in known or _is_used(identifier, config) or _are_steps(value) or identifier == "finalize":
            continue
        overlays = [path for path in sorted(CONFIGS.rglob("*.yaml")) if identifier in _load(path)]
        if any(str(path) in given for path in overlays):
            continue
        if overlay := next(iter(overlays), None):
            name = overlay.relative_to(CONFIGS.parent)
            raise ValueError(f"'{identifier}' has no effect: it belongs to {name}, which is not among the config files")
        close = did_you_mean(identifier, {**known, **config})
        raise ValueError(f"'{identifier}' is no option of this bundle and no id of its configs{close}")
    for group in ("train", "validate"):
        for key in config.get(group, {}):
            if key not in known[group]:
                raise ValueError(f"'{group}#{key}' is no id of the configs{did_you_mean(key, known[group])}")


def _are_steps(value: Any) -> bool:
    """Of a run: expressions, and components between them. Components alone may be meant as anything."""
    steps = value if isinstance(value, list) else []
    others = [step for step in steps if not (isinstance(step, str) and step.startswith("$"))]
    return len(others) < len(steps) and all(isinstance(step, dict) for step in others)


def _is_used(identifier: str, config: dict[str, Any]) -> bool:
    return re.search(rf"[@%]{re.escape(identifier)}\b", repr(config)) is not None


def _check_values(line: CommandLine, config: dict[str, Any], known: dict[str, Any], expressions: Expressions) -> dict[str, Any]:
    """The values of options that are plain, or became so."""
    plain = {}
    # Expressions last: what is wrong with one may lie in a value that it refers to.
    for identifier in sorted(filter(config.__contains__, RANGES), key=lambda identifier: has_expression(config[identifier])):
        value, allowed = config[identifier], RANGES[identifier]
        if allowed not in (SWITCH, PATH):
            value = expressions.value_of(identifier)
        elif isinstance(value, str) and value.startswith(EVALUATED) and (allowed is PATH or value == known.get(identifier)):
            continue
        if value is not UNKNOWN:
            _check_value(line, identifier, value, allowed, config[identifier])
            plain[identifier] = value
    device = str(config.get("device"))
    if not device.startswith(EVALUATED):
        _check_device(device)
    if str(config.get("amp")).lower() == "true" and not (torch.cuda.is_available() and "cpu" not in device):
        raise ValueError(
            "--amp true asks for mixed precision, which MONAI's engines have on CUDA only; leave it out to have it where there "
            "is a GPU"
        )
    return plain


def _check_value(line: CommandLine, identifier: str, value: Any, allowed: Range, written: Any) -> None:
    """written: in the configuration."""
    if not allowed.holds(value):
        hint = " (in YAML, write 1e-4 as 1.0e-4)" if isinstance(value, str) and re.fullmatch(r"[\d.]+e-?\d+", value) else ""
        origin = f" from {written}" if written != value else ""
        raise ValueError(f"{_said_by(line, identifier)} must be {allowed.says}, got {value!r}{origin}{hint}")


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device must be cpu, cuda or cuda:NUMBER, got {name!r}") from error
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(
            f"--device {name} asks for a GPU and torch sees {count or 'none'}; leave it out to run on what is there"
        )


def _check_component(
    line: CommandLine, identifier: str, component: dict[str, Any], locator: ComponentLocator, expressions: Expressions
) -> None:
    target = component["_target_"]
    if not isinstance(target, str) or target.startswith(("$", "@")):
        return
    for key, allowed in ARGUMENTS.get(target, {}).items():
        _check_argument(line, identifier, component, key, allowed, expressions)
    try:
        found = locator.get_component_module_name(target) if "." not in target else target
        callable_ = locate(f"{found}.{target}" if found != target else target) if isinstance(found, str) else None
    except Exception as error:
        raise ValueError(f"'{identifier}': importing {target} failed ({error})") from error
    if isinstance(found, list):
        return  # MONAI says itself that the name is ambiguous
    if callable_ is None:
        raise ValueError(f"'{identifier}' names the component {target}, which does not exist")
    if not callable(callable_):
        return
    try:
        parameters = inspect.signature(callable_).parameters
    except (TypeError, ValueError):  # some are written in C
        return
    for key, parameter in parameters.items():
        if allowed := _by_annotation(parameter):
            _check_argument(line, identifier, component, key, allowed, expressions)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in component.keys() - SPECIAL - parameters.keys():
        raise ValueError(f"'{identifier}#{key}' is no argument of {target}{did_you_mean(key, parameters)}")


def _check_argument(
    line: CommandLine, identifier: str, component: dict[str, Any], key: str, allowed: Range, expressions: Expressions
) -> None:
    if key in component and (value := expressions.value_of(f"{identifier}#{key}")) is not UNKNOWN:
        _check_value(line, f"{identifier}#{key}", value, allowed, component[key])


def _by_annotation(parameter: inspect.Parameter) -> Range | None:
    """Any word would count as true."""
    kind = getattr(parameter.annotation, "__name__", str(parameter.annotation))
    if kind == "bool":
        return Range("True or False", lambda value: isinstance(value, bool))
    if "bool" in kind and "str" not in kind.replace("Strict", ""):
        return Range("True, False or what else is no word", lambda value: not isinstance(value, str))
    if kind in ("int", "float"):
        return Range("a number", lambda value: not isinstance(value, str | bool))
    return None


def _check_syntax(line: CommandLine, identifier: str, text: str) -> None:
    try:
        ast.parse(ReferenceResolver.id_matcher.sub("_", text[1:]))
    except SyntaxError as error:
        raise ValueError(
            f"{_said_by(line, identifier)} is no expression of Python, {text} ({error.msg}); correct it"
        ) from error


def _check_references(line: CommandLine, identifier: str, text: str, parser: ConfigParser, config: dict[str, Any]) -> None:
    for reference in ReferenceResolver.match_refs_pattern(text):
        if reference not in parser:
            name = reference.replace(ID_SEP_KEY, "#")
            close = did_you_mean(name, config)
            raise ValueError(f"{_said_by(line, identifier)} refers to @{name}, which is no id of the configs{close}")


def _load(path: Path) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(path)) or {}
