"""What checkpoints know -> configs that need no preset, network or overlay beside them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..run.config_files import CONFIGS, config_files, read_config
from ..run.settings import CALIBRATED, Changes, changed_by
from ..run.trained_settings import trained_settings
from .package_files import MODEL

Config = dict[str, Any]
LABORATORY = "scripts.research."


def baked_configs(abouts: Sequence[Mapping[str, Any]], models: Sequence[str], encoder_weights: str | None) -> dict[str, Config]:
    """Name of a file -> its content.

    abouts: of the checkpoints. models: where they lie in the package, likewise. encoder_weights: the word `random`, or where
    the package has or expects them; None where the network has no encoder.

    Raises ValueError for a network of the laboratory, which no package has.
    """
    inference = trained_settings(abouts[0], ("spacing_known",))
    training = _trained_alike(abouts)
    evaluation: Config = {key: abouts[0][key] for key in CALIBRATED if key in abouts[0]}
    if encoder_weights:
        inference["encoder_weights"] = _place(encoder_weights)
        training["encoder_weights"] = _place(encoder_weights)
    if list(models) != [MODEL]:
        inference["checkpoint"] = evaluation["checkpoint"] = [_place(model) for model in models]
    baked = {
        "configs/train.json": _complete(_baked("train.json", training)),
        "configs/evaluate.json": _baked("evaluate.json", evaluation),  # over train.json, as ever
        "configs/inference.json": _complete(_baked("inference.json", inference)),
    }
    if LABORATORY in json.dumps(baked["configs/inference.json"]):
        raise ValueError("a network of the laboratory cannot be packaged: a package has the product's code alone")
    return baked


def _place(weights: str) -> str:
    return weights if weights == "random" else f"$@bundle_root + '/{weights}'"


def _trained_alike(abouts: Sequence[Mapping[str, Any]]) -> Config:
    """What all networks were trained with: of an ensemble not which cases each of them did not see."""
    about = abouts[0]
    same = [key for key in about if all(other.get(key) == about[key] for other in abouts)]
    return {key: about[key] for key in same if key not in CALIBRATED and (len(abouts) == 1 or key not in ("folds", "fold"))}


def _baked(file: str, settings: Mapping[str, Any]) -> Config:
    own, overlays = read_config(CONFIGS / file), _of_overlays()
    return laid_over(own | {key: overlays[key] for key in settings if key in overlays and key not in own}, settings)


def laid_over(config: Mapping[str, Any], settings: Mapping[str, Any], identifier: str = "") -> Config:
    """Like MONAI's merging, but for what settings never hold, where things lie and how fast they go: that stays."""

    def laid(key: str) -> Any:
        inner = f"{identifier}#{key}" if identifier else key
        if key not in settings:
            return config[key]
        value = settings[key]
        if isinstance(value, Mapping) and isinstance(before := config.get(key), Mapping):
            return laid_over(before, value, inner) if value.get("_target_") == before.get("_target_") else value
        return value

    stay = [key for key in config if key in settings or not identifier or _is_left_out(f"{identifier}#{key}")]
    keys = dict.fromkeys([*stay, *settings])
    return {key: _spelled(laid(key)) for key in keys}


def _is_left_out(identifier: str) -> bool:
    return changed_by(identifier) is Changes.NOTHING


def _spelled(node: Any) -> Any:
    """With the # of the configs in ids, where MONAI has `::`."""
    if isinstance(node, str):
        return re.sub(r"[@%]\w+(?:::\w+)+", lambda found: found[0].replace("::", "#"), node)
    if isinstance(node, Mapping):
        return {key: _spelled(child) for key, child in node.items()}
    return [_spelled(child) for child in node] if isinstance(node, list) else node


def _complete(config: Config) -> Config:
    """Together with what it refers to and only an overlay has, such as the folder of the cache."""
    known = _of_overlays()
    while missing := (set(re.findall(r"@(\w+)", json.dumps(config))) & known.keys()) - config.keys():
        config = config | {name: known[name] for name in sorted(missing)}
    return config


def _of_overlays() -> Config:
    """Every id that networks and overlays set."""
    files = [path for path in config_files() if path.parent.name in ("networks", "overlays")]
    return {key: value for path in files for key, value in read_config(path).items()}
