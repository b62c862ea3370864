"""Names of networks, overlays and presets -> their config files."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .close_names import did_you_mean

BUNDLE_ROOT = Path(__file__).parents[2]
CONFIGS = BUNDLE_ROOT / "configs"
OWN = "sam3d"  # the network of train.json, which needs no file


def network_configs(name: str) -> list[Path]:
    """`unet+dca`: networks/unet.yaml, then overlays/dca.yaml, anywhere in `configs`. A part that ends in .yaml is a path.

    Raises ValueError for a part that is no file, with the names there are, and for a file that cannot be read.
    """
    network, *overlays = [name] if Path(name).is_file() else name.split("+")  # a path may hold a +
    found = [] if network == OWN else [_find(network, "networks", networks())]
    return found + [overlay_config(overlay) for overlay in overlays]


def overlay_config(name: str) -> Path:
    """Raises ValueError as `network_configs` does."""
    return _find(name, "overlays", overlays())


def preset_config(name: str) -> Path:
    """A path, or the name of a file NAME.yaml in the current folder or in configs/datasets. Raises ValueError as above."""
    return _find(name, "presets", presets())


def networks() -> dict[str, Path]:
    """By name; the one of train.json is not among them."""
    return _files([path for path in CONFIGS.rglob("*.yaml") if path.parent.name == "networks"])


def overlays() -> dict[str, Path]:
    return _files([path for path in CONFIGS.rglob("*.yaml") if path.parent.name == "overlays"])


def presets() -> dict[str, Path]:
    """Those of the current folder hide the bundle's."""
    return _files(list((CONFIGS / "datasets").glob("*.yaml"))) | _files(list(Path.cwd().glob("[!.]*.yaml")))


def config_files() -> list[Path]:
    """All of this bundle's."""
    return sorted(path for path in CONFIGS.rglob("*") if path.suffix in (".yaml", ".json"))


def short_name(name: str) -> str:
    """Paths shortened to what their files are called."""
    return "+".join(Path(part).stem if _is_path(part) else part for part in name.split("+"))


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    return {path.stem: path for path in sorted(paths)}


def _find(name: str, kind: str, files: dict[str, Path]) -> Path:
    if _is_path(name):
        if not Path(name).is_file():
            raise ValueError(f"no file {name}")
        path = Path(os.path.abspath(name))
    elif name in files:
        path = files[name]
    else:
        known = [*([OWN] if kind == "networks" else []), *files]
        raise ValueError(f"{name!r} is none of the {kind}{did_you_mean(name, known) or '.'} There are {', '.join(known)}")
    read_config(path)
    return path


def read_config(path: Path) -> dict[str, Any]:
    """By the parsers behind MONAI's, which takes seconds to import: a slip in a name or a file is answered at once.

    Raises ValueError for what is no config file.
    """
    if not path.is_file():
        raise ValueError(f"no config file {path}; correct its path")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}; correct it") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold ids and their values, as in configs/datasets/custom.yaml")
    return content


def _is_path(part: str) -> bool:
    return part.endswith((".yaml", ".yml", ".json"))
