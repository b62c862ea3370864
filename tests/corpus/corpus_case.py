"""One input of the corpus: what is written where, and what has to become of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WRITTEN = "written"  # a mask that lies exactly on its image, and nothing to say
CORRECTED = "corrected"  # a mask, and the rule by which the header was put right
DOUBT = "doubt"  # a mask, and the rule that a person should look at
REFUSED = "refused"  # no mask; file, rule and remedy
LEFT_OUT = "left out"  # no image: no mask, and no line in the report


@dataclass(frozen=True)
class CorpusCase:
    """path: below the folder of images, of a file or of a folder with a DICOM series.

    write: puts it there; its folder exists. rule: a pattern that the rule in the report must match; of what is left
    out, the line of the log that names it.
    same: whether it is the volume of `nifti.VOXELS`, stored in some other way, so that its mask must be that of the plain file.
    """

    path: str
    outcome: str
    write: Callable[[Path], object]
    rule: str = ""
    same: bool = False

    @property
    def id(self) -> str:
        """In ASCII, of any name."""
        name = self.path if len(self.path) < 60 else f"{self.path[:20]}...{self.path[-20:]}"
        return name.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")


def by_suffix(name: str) -> str:
    """In a folder for each suffix: scan.nii and scan.nii.gz in one folder would be refused, since their masks have one name."""
    suffix = name.partition(".")[2]
    return name if "/" in name or not suffix else f"{suffix.lower()}/{name}"
