"""The configs of a package, which MONAI will run -> refused unless they name this bundle's own code alone."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..run.config_files import CONFIGS, read_config
from ..run.config_walk import walk
from ..run.foreign_code import foreign_code
from .package_files import METADATA, PACKED_AGAIN, RUNS
from .package_metadata import channels_of

# Where things lie is the user's to say. Of these a package may say something, and only within its own folder.
INSIDE = re.compile(r"\$@bundle_root \+ '/(models/\w[\w.-]*\.(pt|pth|safetensors))'", re.ASCII)
WEIGHTS = ("checkpoint", "encoder_weights")


def read_package_json(path: Path) -> dict[str, Any]:
    """Raises ValueError for what readers of JSON understand in different ways: a key twice, NaN, another encoding."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON with each key once and finite numbers: {error}; {PACKED_AGAIN}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold ids and their values; {PACKED_AGAIN}")
    return content


def require_own_configs(folder: Path) -> None:
    """Raises ValueError for the first component, expression or place in them that no package has."""
    for name in RUNS:
        config = read_package_json(folder / name)
        own = read_config(CONFIGS / Path(name).name)
        for key, value in config.items():
            _require_own_place(folder / name, key, value, own)
        code = {key: value for key, value in config.items() if key not in WEIGHTS}
        if foreign := foreign_code(code):
            raise ValueError(f"{folder / name} would run {foreign}, which is no part of this bundle; {PACKED_AGAIN}")


def _require_own_place(path: Path, key: str, value: Any, own: Mapping[str, Any]) -> None:
    if any(not re.fullmatch(r"\w+", part) for part in re.split("#", key)):
        raise ValueError(f"{path}: {key!r} is no plain id; {PACKED_AGAIN}")
    for identifier, node in walk({key: value}):
        if identifier.rpartition("#")[2] == "bundle_root" and node != ("." if identifier == "bundle_root" else "@bundle_root"):
            raise ValueError(f"{path}: bundle_root must be '.', its own folder, got {node!r}; {PACKED_AGAIN}")
    if key in WEIGHTS:
        for place in value if isinstance(value, list) else [value]:
            if place not in ("random", own.get(key)) and not (isinstance(place, str) and INSIDE.fullmatch(place)):
                raise ValueError(f"{path}: {key} must lie in models of the package, got {place!r}; {PACKED_AGAIN}")
    elif key.partition("#")[0] in ("dataset_dir", "input", "output_dir", "models_dir") and value != own.get(key):
        raise ValueError(f"{path}: {key} is the user's to say, got {value!r}; {PACKED_AGAIN}")


def require_own_metadata(folder: Path, abouts: Sequence[Mapping[str, Any]]) -> None:
    """Of a version that this bundle knows, and with the names that its networks were trained with."""
    path, own = folder / METADATA, read_config(CONFIGS / "metadata.json")
    metadata = read_package_json(path)
    version, known = metadata.get("version"), own["version"]
    if not (isinstance(version, str) and re.fullmatch(r"\d+(\.\d+)*", version, re.ASCII)) or _number(version) > _number(known):
        raise ValueError(f"{path}: version must be one up to {known}, which is installed here, got {version!r}; update SAM-3D")
    if metadata.get("schema") != own["schema"]:
        raise ValueError(f"{path}: schema must be that of MONAI, {own['schema']}; {PACKED_AGAIN}")
    try:
        named = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} does not name what the network finds; {PACKED_AGAIN}") from error
    if any(named != dict(zip(map(str, range(len(names))), names, strict=True)) for names in map(channels_of, abouts)):
        raise ValueError(f"{path} names other structures than its networks were trained with, {named}; {PACKED_AGAIN}")


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands in it twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
