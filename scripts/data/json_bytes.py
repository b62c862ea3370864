"""What JSON can hold -> the bytes of a file that a person can read."""

import json
from typing import Any


def json_bytes(content: Any) -> bytes:
    """UTF-8. Names of files may hold bytes that are none: JSON can escape them."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
