"""What a checkpoint knows -> the settings that its network must be used with."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .foreign_code import foreign_code
from .settings import CALIBRATED, CLASSES, Changes, changed_by, network_settings

CHOSEN = ("encoder_weights", "encoder_seed", "inferer")  # with these the training run was validated


def trained_settings(about: Mapping[str, Any], also: Iterable[str] = ()) -> dict[str, Any]:
    """By id. also: further settings of the training run to take over."""
    ids = [*(key for key in network_settings(about) if key in CLASSES), *CHOSEN, *CALIBRATED, *also]
    settings = _with_references({key: about[key] for key in ids if key in about}, about)
    if foreign_code({key: settings[key] for key in ("encoder_weights",) if key in settings}):
        del settings["encoder_weights"]  # where a user's own config looked for the file
    return settings


def _with_references(settings: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Together with those that they refer to: TransUNet's to @transformer_weights, a user's own to ids that no config knows."""
    known = {key for key in about if changed_by(key) is not Changes.NOTHING}  # where things lie is each run's own
    while referred := set(re.findall(r"@(\w+)", json.dumps(settings))) & known - settings.keys():
        settings = settings | {key: about[key] for key in referred}
    return settings
