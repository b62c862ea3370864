"""AET@HOST:PORT -> another DICOM node."""

import re
from typing import NamedTuple, Self

TITLE = r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?"  # DICOM PS3.5: up to 16 characters, no backslash


class Peer(NamedTuple):
    """Its AE title, and where it listens."""

    aet: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.aet}@{self.host}:{self.port}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError for what is not of this form."""
        found = re.fullmatch(r"(.+)@([^@\s]+):(\d{1,5})", text)
        if not found or not 0 < int(found[3]) < 1 << 16:
            raise ValueError(f"must be AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242, got {text!r}")
        return cls(title(found[1]), found[2], int(found[3]))


def title(text: str) -> str:
    """Raises ValueError for what cannot be an AE title."""
    if not re.fullmatch(TITLE, text):
        raise ValueError(f"an AE title has 1 to 16 characters of ASCII, got {text!r}")
    return text
