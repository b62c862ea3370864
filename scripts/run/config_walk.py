"""A configuration -> every part of it with its id."""

from collections.abc import Iterator
from typing import Any


def walk(node: Any, identifier: str = "") -> Iterator[tuple[str, Any]]:
    """Itself first. identifier: of the node."""
    yield identifier, node
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from walk(child, f"{identifier}#{key}" if identifier else str(key))
