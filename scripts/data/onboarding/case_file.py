"""A path -> what its folders and its name say: image or label, of which part, of which case."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..formats.open_image import SUFFIXES

IMAGE = re.compile(r"images?|imgs?|imaging|volumes?|vols?|scans?")
LABEL = re.compile(
    r"labels?|lbls?|masks?|msks?|segs?|segms?|dseg|segmentations?|gts?|gtv[a-z]?|ground|truths?|groundtruths?|annotations?|rois?|"
    r"contours?|delineations?|manual|gd"
)
PARTS = {"train": "training", "training": "training", "val": "validation", "valid": "validation", "validation": "validation"}
PARTS |= {"test": "test", "testing": "test"}
SHORT = {"tr": "training", "va": "validation", "ts": "test"}  # beside a word for images or labels: imagesTr
ROLE_AND_NUMBER = re.compile(rf"(?:{IMAGE.pattern}|{LABEL.pattern})(\d+)")
BIDS = re.compile(r"sub-[a-z0-9]+(_|$)")
ABOUT_THE_LABEL = re.compile(r"(?:^|_)(?:space|desc|label|seg|atlas|res|den)-[^_]+")  # BIDS entities that images need not share
WORDS = re.compile(r"[^_\-. ]+")
PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")  # of imagesTr2200


@dataclass(frozen=True)
class CaseFile:
    """An image file or a folder with a DICOM series, `relative` to the folder that is searched, without what all files share.

    What is read from names ignores case and how accents are coded.
    """

    path: Path
    relative: Path

    @cached_property
    def stem(self) -> str:
        return folded(original_stem(self.path))

    @cached_property
    def part(self) -> str | None:
        """`training`, `validation` or `test`, if a folder says so, as imagesTs does."""
        for folder in reversed(self.relative.parts[:-1]):
            pieces = _pieces(folder)
            known = PARTS | (SHORT if len(pieces) == 1 or _role(folder) else {})
            if said := [known[piece] for piece in pieces if piece in known]:
                return said[-1]
        return None

    @cached_property
    def folder_says(self) -> str | None:
        """`label` or `image`."""
        return next((role for role in map(_role, reversed(self.relative.parts[:-1])) if role), None)

    @cached_property
    def role_folder(self) -> str:
        """The name of the folder that says it."""
        return next((folder for folder in reversed(self.relative.parts[:-1]) if _role(folder)), "")

    @cached_property
    def says_label(self) -> bool:
        return any(map(LABEL.fullmatch, {*_pieces(original_stem(self.path)), *WORDS.findall(self.stem)}))

    @property
    def is_bids(self) -> bool:
        return BIDS.match(self.stem) is not None

    @property
    def is_derived(self) -> bool:
        """An image made from images."""
        return self.is_bids and "derivatives" in self.relative.parts

    @cached_property
    def stem_words(self) -> list[str]:
        """Without those that only say `image` or `label`: img01 -> 01, but not mask1 beside another number."""
        words = WORDS.findall(ABOUT_THE_LABEL.sub("", self.stem) if self.is_bids else self.stem)
        if sum(bool(re.search(r"\d", word)) for word in words) == 1:
            words = [found[1] if (found := ROLE_AND_NUMBER.fullmatch(word)) else word for word in words]
        return [word for word in words if not (IMAGE.fullmatch(word) or LABEL.fullmatch(word))]

    @cached_property
    def folder_words(self) -> list[str]:
        return _case_words(self.relative.parts[:-1])

    @cached_property
    def words(self) -> dict[str, list[str]]:
        """By each rule, what may name the case."""
        around = [word for folder in self.relative.parts[:-1] for word in _outside_roles(folder)]
        numbers = [str(int(number)) for number in re.findall(r"[0-9]+", self.stem)]
        return {
            "path": around + self.stem_words,
            "folder": self.folder_words,
            "folder above": _case_words(self.relative.parts[:-2]),
            "stem": self.stem_words,
            "numbers": numbers,
        }

    @cached_property
    def kind(self) -> tuple[str, str]:
        """What files of one role have in common: their folder, and the last word of their names."""
        words = [word for word in WORDS.findall(self.stem) if re.search(r"[^\W\d_]", word)]
        return folded("/".join(self.relative.parts[:-1])), words[-1] if words else ""

    def slot(self, identity: Iterable[str]) -> tuple[str, ...]:
        """Of a label: what tells it apart from the others of its case."""
        pieces = [piece for folder in self.relative.parts[:-1] for piece in _pieces(folder) if not piece.isdecimal()]
        known = {*identity, *PARTS, *SHORT}
        return tuple(word for word in [*pieces, *WORDS.findall(self.stem)] if word not in known)


def original_stem(path: Path) -> str:
    return next((path.name[: -len(suffix)] for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.name)


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _pieces(name: str) -> list[str]:
    name = unicodedata.normalize("NFC", name)
    return [folded(piece) for piece in PIECES.findall(name)]


def _role(folder: str) -> str | None:
    words = {*_pieces(folder), *WORDS.findall(folded(folder))}
    return next((role for role, kind in (("label", LABEL), ("image", IMAGE)) if any(map(kind.fullmatch, words))), None)


def _case_words(folders: Iterable[str]) -> list[str]:
    """Of the folders that do not say `images` or `labels`."""
    return [word for folder in folders if not _role(folder) for word in _outside_roles(folder)]


def _outside_roles(folder: str) -> list[str]:
    """The words of a folder's name; of one that says `images`, `labels` or a part only what is left without these."""
    pieces = _pieces(folder)
    if not (_role(folder) or set(pieces) & {*PARTS}):
        return [] if folded(folder) in SHORT else WORDS.findall(folded(folder))
    return [word for word in pieces if not (IMAGE.fullmatch(word) or LABEL.fullmatch(word) or word in {**PARTS, **SHORT})]
