"""Values with reasons -> YAML with a comment at each, which parses to exactly these values."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

WIDTH, COMMENT = 120, 30  # columns: of a line, and where its comment begins


class Line(NamedTuple):
    """A value of the preset and why it is so."""

    value: Any
    reason: str = ""


def preset_yaml(header: Sequence[str], lines: Mapping[str, Line]) -> str:
    """header: comments at the top. Raises ValueError if a name of a label cannot be written."""
    comments = [f"# {part}" for text in header for part in textwrap.wrap(text, WIDTH - 2)]
    text = "\n".join([*comments, *(_entry(key, *line) for key, line in lines.items())]) + "\n"
    intended = {key: line.value for key, line in lines.items()}
    try:
        is_exact = yaml.safe_load(text) == intended
    except yaml.YAMLError:
        is_exact = False
    if not is_exact:
        rule = "names in dataset.json must be printable, to be written into a preset"
        raise ValueError(f"{rule}; rename what is not in {intended}")
    return text


def _entry(key: str, value: Any, reason: str) -> str:
    if not isinstance(value, dict):
        return _with_comment(f"{key}: {_scalar(value)}", reason)
    items = [f"{_scalar(name)}: {_scalar(item)}" for name, item in value.items()]
    in_one_line = f"{key}: {{{', '.join(items)}}}"
    if not reason and len(in_one_line) <= WIDTH:
        return in_one_line
    return "\n".join([_with_comment(f"{key}:", reason), *(f"  {item}" for item in items)])


def _with_comment(text: str, reason: str) -> str:
    first, *others = textwrap.wrap(reason, WIDTH - COMMENT - 2) or [""]
    if not first:
        return text
    return "\n".join([f"{text:{COMMENT - 1}} # {first}", *(f"{'':{COMMENT}}# {other}" for other in others)])


def _scalar(value: Any) -> str:
    """JSON is YAML: quoted, no string is taken for a number, a truth value or a mapping; known words need no quotes."""
    is_plain = isinstance(value, str) and value.isidentifier() and value.isascii() and yaml.safe_load(value) == value
    return value if is_plain else json.dumps(value, ensure_ascii=False)
