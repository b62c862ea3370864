"""The name that a header gives to the file of its voxels -> that file beside it, and no other."""

import re
from pathlib import Path

from ..cases.case_error import CaseError
from .image_file import Note

# Of these ITK opens this very file: no folder, pattern (`%`) or list of files, not the header (`LOCAL`) or the console (`-`).
PLAIN = re.compile(r"(?!LIST|(?i:local)$|-$|[.=:\s])[^/\\%\x00-\x1f\x7f\ufffd]+")
RULE = "voxels must lie in one file beside their header"
REMEDY = "put that file beside the header, under the name that it gives, or convert the image to NIfTI"


def named_file(header: str, name: str) -> str:
    """As the text of a header gives it. Raises CaseError for a name that leads elsewhere: what lies there may be anything."""
    plain, own = name.removeprefix("./"), Path(header).name
    if not PLAIN.fullmatch(plain) or plain == own or "\\" in own:  # which ITK takes for a folder's end
        raise CaseError(header, RULE, f"the header names {name!r}", REMEDY)
    return file_beside(header, plain)


def file_beside(header: str, name: str) -> str:
    """Raises CaseError unless it is a file, and no link, which could lead anywhere."""
    path = Path(header).with_name(name)
    if path.is_symlink() or not path.is_file():
        found = f"{name} is a link" if path.is_symlink() else f"there is no file {name}"
        raise CaseError(header, RULE, found, REMEDY)
    return str(path)


def notes_on_name(header: str, data: str) -> list[Note]:
    """Of two headers that name one file, at most one has its name."""
    name = Path(data).name
    if Path(name.removesuffix(".gz")).stem == Path(header).stem:
        return []
    found = f"its voxels are in {name}; make sure that they are not those of another image"
    return [Note("a header should have the name of its voxels' file", found, corrected=False)]
