"""Settings that somebody else wrote -> the first component or expression in them that is not this bundle's."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from inspect import isclass
from typing import Any

from .config_files import config_files, read_config
from .settings import Changes, changed_by

COMPONENT = "_target_ "
# MONAI's transforms that only compute. Others call what a text names, as LoadImage does its `reader`.
COMPUTING = tuple(f"monai.transforms.{kind}." for kind in ("croppad", "intensity", "spatial"))


def foreign_code(settings: Mapping[str, Any]) -> str | None:
    """Such settings are data: components and expressions of the bundle's configs may stand in them, and MONAI's transforms of
    geometry and intensity, but no other code.

    What a run does, such as its first and last steps, may stand in them only under the id that it has in the bundle's configs.
    """
    for identifier, value in settings.items():
        known = _known(_place(identifier))
        for text in _strings(value, identifier):
            component = text.removeprefix(COMPONENT)
            is_component = component != text
            if (is_component or text.startswith(("$", "%"))) and not (
                text in known or (is_component and _only_computes(component))
            ):
                return component
    return None


def _place(identifier: str) -> str | None:
    """An id with which nothing but itself may have code in common; None for what may be a part of any network or pipeline."""
    first = re.split("#|::", identifier.lstrip("+"))[0]
    return first if changed_by(first) is Changes.NOTHING else None


@lru_cache
def _known(place: str | None) -> frozenset[str]:
    configs = [read_config(path) for path in config_files()]
    entries = [(key, value) for config in configs for key, value in config.items() if _place(key) == place]
    return frozenset(text for key, value in entries for text in _strings(value, key))


def _only_computes(component: str) -> bool:
    import monai.transforms

    found = getattr(monai.transforms, component, None)
    return isclass(found) and found.__module__.startswith(COMPUTING)


def _strings(node: Any, key: str = "") -> Iterator[str]:
    """All of them, in MONAI's spelling of ids; of components behind a mark."""
    if isinstance(node, str):
        is_component = re.split("#|::", key)[-1] == "_target_"  # overlays write network_def#encoder#_target_
        yield (COMPONENT if is_component else "") + node.replace("#", "::")
    elif isinstance(node, Mapping):
        for name, child in node.items():
            yield from _strings(child, str(name))
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child, key)
