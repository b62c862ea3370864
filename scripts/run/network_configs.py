"""The name of a network in a comparison -> the config files that make it."""

from pathlib import Path

from monai.bundle import ConfigParser
from yaml import YAMLError

from .close_names import did_you_mean

CONFIGS = Path(__file__).parents[2] / "configs"
OWN = "sam3d"  # the network of train.json, which needs no file


def network_configs(name: str) -> list[Path]:
    """`unet+dca`: networks/unet.yaml, then overlays/dca.yaml, anywhere in `configs`. A part that ends in .yaml is a path.

    Raises ValueError for a part that is no file, with the names there are, and for a file that cannot be read.
    """
    network, *overlays = name.split("+")
    found = [] if network == OWN else [_find(network, "networks")]
    found += [_find(overlay, "overlays") for overlay in overlays]
    for path in found:
        _require_readable(path)
    return found


def short_name(name: str) -> str:
    """Paths shortened to what their files are called."""
    return "+".join(Path(part).stem if _is_path(part) else part for part in name.split("+"))


def _find(part: str, kind: str) -> Path:
    if _is_path(part):
        if not Path(part).is_file():
            raise ValueError(f"no file {part}")
        return Path(part).resolve()
    files = {path.stem: path for path in sorted(CONFIGS.rglob("*.yaml")) if path.parent.name == kind}
    if part not in files:
        known = [OWN, *files] if kind == "networks" else list(files)
        raise ValueError(f"{part!r} is none of the {kind}{did_you_mean(part, known)} There are {', '.join(known)}")
    return files[part]


def _require_readable(path: Path) -> None:
    try:
        ConfigParser.load_config_file(str(path))
    except (ValueError, YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _is_path(part: str) -> bool:
    return part.endswith((".yaml", ".json"))
