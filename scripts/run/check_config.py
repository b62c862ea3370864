"""A run's configuration -> the same, or a sentence about what in it means nothing."""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ComponentLocator, ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import ID_SEP_KEY

from .close_names import did_you_mean
from .command_line import CommandLine, read_command_line
from .settings import PATHS

CONFIGS = Path(__file__).parents[2] / "configs"
RUNS = ("train.json", "evaluate.json", "inference.json")  # a preset serves all of them
SPECIAL = {"_target_", "_mode_", "_requires_", "_disabled_", "_desc_", "_meta_"}


def check_config(arguments: Sequence[str]) -> None:
    """The first step of every run. MONAI accepts any option and only stumbles, or does not, where it would be used.

    Args:
        arguments: `sys.argv`; where they are not those of `python -m monai.bundle run`, nothing is checked.

    Raises:
        ValueError: for an option or preset key that no config knows or that this run does not use, an argument that its
            component does not take, a component or reference that does not exist, a word where a number is required, a GPU
            that is not there, mixed precision without one, and a path that MONAI would run as an expression.

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
    for identifier in PATHS:
        value = config.get(identifier)
        if isinstance(value, str) and value.startswith(("$", "@")) and Path(value).exists():
            raise ValueError(f"--{identifier} {value} would be run as an expression; it is a path: write ./{value}")
    known = {key: value for name in RUNS for key, value in _load(CONFIGS / name).items()}
    _check_ids(config, known)
    _check_effect(line, config)
    _check_values(config, known)
    locator = ComponentLocator()  # looks through all of MONAI, once
    for identifier, node in _walk(config):
        if isinstance(node, dict) and "_target_" in node:
            _check_component(identifier, node, locator)
    parser = ConfigParser(config)
    for identifier, node in _walk(config):
        if isinstance(node, str):
            _check_references(identifier, node, parser, config)


def _check_ids(config: dict[str, Any], known: dict[str, Any]) -> None:
    for identifier, value in config.items():
        runs = isinstance(value, list) and all(isinstance(step, str) and step.startswith("$") for step in value)
        if identifier in known or _is_used(identifier, config) or runs or identifier == "finalize":
            continue
        overlay = next((path for path in sorted(CONFIGS.rglob("*.yaml")) if identifier in _load(path)), None)
        if overlay is not None:
            name = overlay.relative_to(CONFIGS.parent)
            raise ValueError(f"'{identifier}' has no effect: it belongs to {name}, which is not among the config files")
        close = did_you_mean(identifier, {**known, **config})
        raise ValueError(f"'{identifier}' is no option of this bundle and no id of its configs{close}")
    for group in ("train", "validate"):
        for key in config.get(group, {}):
            if key not in known[group]:
                raise ValueError(f"'{group}#{key}' is no id of the configs{did_you_mean(key, known[group])}")


def _check_effect(line: CommandLine, config: dict[str, Any]) -> None:
    """A preset serves all runs; what stands on the command line is meant for this one."""
    own = {key for file in line.files if Path(file).name in RUNS for key in _load(Path(file))}
    for option in line.options:
        identifier = option.lstrip("+").partition("#")[0].partition("::")[0]
        if own and identifier not in own and not _is_used(identifier, config):
            raise ValueError(f"--{option} has no effect in this run; leave it out")
        value = line.options[option]
        if "#" in option and isinstance(value, str) and value.lower() in ("true", "false"):
            raise ValueError(f"--{option} {value} would be the word {value!r}, which counts as true; write {value.title()}")


def _is_used(identifier: str, config: dict[str, Any]) -> bool:
    return re.search(rf"[@%]{re.escape(identifier)}\b", repr(config)) is not None


def _check_values(config: dict[str, Any], known: dict[str, Any]) -> None:
    for identifier, default in known.items():
        value = config.get(identifier, default)
        is_text = isinstance(value, str) and not value.startswith(("$", "@", "%"))
        if isinstance(default, bool) or identifier == "amp":  # which by default follows the device
            if str(value).lower() not in ("true", "false") and not (isinstance(value, str) and value == default):
                raise ValueError(f"--{identifier} must be true or false, got {value!r}")
        elif isinstance(default, int | float) and (is_text or not isinstance(value, int | float | str)):
            raise ValueError(f"--{identifier} must be a number, got {value!r} (in YAML, write 1e-4 as 1.0e-4)")
    device = str(config.get("device"))
    if not device.startswith(("$", "@")):
        _check_device(device)
    if str(config.get("amp")).lower() == "true" and not (torch.cuda.is_available() and "cpu" not in device):
        raise ValueError(
            "--amp true asks for mixed precision, which MONAI's engines have on CUDA only; leave it out to have it where there "
            "is a GPU"
        )


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


def _walk(node: Any, identifier: str = "") -> Iterator[tuple[str, Any]]:
    """Every part of the config with its id."""
    yield identifier, node
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _walk(child, f"{identifier}#{key}" if identifier else str(key))


def _check_component(identifier: str, component: dict[str, Any], locator: ComponentLocator) -> None:
    target = component["_target_"]
    if not isinstance(target, str) or target.startswith(("$", "@")):
        return
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
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in component.keys() - SPECIAL - parameters.keys():
        raise ValueError(f"'{identifier}#{key}' is no argument of {target}{did_you_mean(key, parameters)}")


def _check_references(identifier: str, text: str, parser: ConfigParser, config: dict[str, Any]) -> None:
    for reference in ReferenceResolver.match_refs_pattern(text):
        if reference not in parser:
            name = reference.replace(ID_SEP_KEY, "#")
            raise ValueError(f"'{identifier}' refers to @{name}, which is no id of the configs{did_you_mean(name, config)}")


def _load(path: Path) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(path)) or {}
