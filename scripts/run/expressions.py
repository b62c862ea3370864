"""Expressions of a configuration -> the values that they have, where these can be known before anything runs."""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.bundle.utils import ID_SEP_KEY

from .config_walk import walk
from .paths import EVALUATED

UNKNOWN = object()  # a value that is not known yet, or that only Python can show
OF_PROCESSES = re.compile("idist|distributed")  # means something else once the processes of a run know each other


class Expressions:
    """Evaluates nothing that builds a part of the run, and nothing twice: what it has evaluated can be handed on.

    config: the whole, macros replaced. used: the ids that the run refers to; another one's may not even be meant for this run.
    """

    def __init__(self, config: Mapping[str, Any], used: set[str]) -> None:
        self._parser = ConfigParser(deepcopy(dict(config)))
        self._used = used

    def value_of(self, identifier: str) -> Any:
        """Of an id that is there; UNKNOWN where it cannot be known. Raises what an expression raises, as the run would."""
        node = self._parser[identifier]
        if has_expression(node):
            known = self._is_used(identifier) and self._is_known(identifier, [])
            node = self._parser.get_parsed_content(identifier) if known else UNKNOWN
        return node if _is_plain(node) else UNKNOWN

    def evaluated(self) -> dict[str, Any]:
        """By id, as MONAI spells it."""
        return self._parser.ref_resolver.resolved_content

    def _is_used(self, identifier: str) -> bool:
        return any(f"{identifier}#".startswith(f"{key}#") or key.startswith(f"{identifier}#") for key in self._used)

    def _is_known(self, identifier: str, within: list[str]) -> bool:
        """Whether neither it nor what it refers to is a part of the run, or asks about processes."""
        if identifier in within:
            raise ValueError(f"'{identifier}' refers to itself: {' to '.join([*within, identifier])}; give one of them a value")
        if identifier not in self._parser:
            return False
        for _, node in walk(self._parser[identifier]):
            if isinstance(node, dict) and "_target_" in node:
                return False
            if isinstance(node, str) and node.startswith(EVALUATED):
                names = (name.replace(ID_SEP_KEY, "#") for name in ReferenceResolver.match_refs_pattern(node))
                if OF_PROCESSES.search(node) or not all(self._is_known(name, [*within, identifier]) for name in names):
                    return False
        return True


def has_expression(node: Any) -> bool:
    """Somewhere in it."""
    return any(isinstance(part, str) and part.startswith(EVALUATED) for _, part in walk(node))


def _is_plain(value: Any) -> bool:
    """Whether it is what a config file can hold."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, str | int | float | None)
