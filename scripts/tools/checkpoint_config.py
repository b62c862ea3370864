"""A checkpoint -> a config file of what its network must be used with."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

CHOSEN = ("encoder_weights", "encoder_seed", "inferer")  # with these the training run was validated


def checkpoint_configs(checkpoint: Path, folder: Path, preset: Path | None, also: Iterable[str] = ()) -> list[Path]:
    """`folder`/preset.json, written now; none if the checkpoint says nothing.

    preset: what the user named; without either, nobody knows what the network needs, and BadParameter is raised.
    also: further settings of the training run to take over.
    """
    from ..files.atomic_write import write_json
    from ..files.checkpoint_file import read_about
    from ..run.settings import CLASSES, network_settings

    about = read_about(checkpoint) or {}
    if not about and preset is None:
        remedy = "name that preset by --preset, and by --network the network if it is not sam3d"
        raise typer.BadParameter(
            f"{checkpoint} does not say which preset it was trained with; {remedy}", param_hint="--checkpoint"
        )
    if not about:
        return []
    ids = [*(key for key in network_settings(about) if key in CLASSES), *CHOSEN, *also]
    path = folder / "preset.json"
    write_json(path, _with_references({key: about[key] for key in ids if key in about}, about))
    return [path]


def _with_references(settings: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Together with those that they refer to: TransUNet's to @transformer_weights, a user's own to ids that no config knows."""
    while referred := set(re.findall(r"@(\w+)", json.dumps(settings))) & about.keys() - settings.keys():
        settings = settings | {key: about[key] for key in referred}
    return settings
