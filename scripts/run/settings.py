"""What a training run was told -> the part of it that its network must be used with."""

from collections.abc import Mapping
from typing import Any

from .running_config import PRESET


def network_settings(about: Mapping[str, Any]) -> dict[str, Any]:
    ids = (*PRESET, "deterministic_transforms", "inferer", "encoder_weights", "encoder_seed")
    return {identifier: about[identifier] for identifier in ids if identifier in about}
