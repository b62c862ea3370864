"""A path -> what its folders and its name say: image or label, of which part, of which case."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..formats.open_image import SUFFIXES

IMAGE = r"images?|imgs?|imaging|volumes?|vols?|scans?"
LABEL = r"labels?|lbls?|masks?|segs?|dseg|segmentations?|gts?|ground_?truths?|annotations?|rois?"
PARTS = {"tr": "training", "train": "training", "training": "training", "val": "validation", "valid": "validation"}
PARTS |= {"validation": "validation", "ts": "test", "test": "test", "testing": "test"}
ROLE = re.compile(rf"(?:(?:{IMAGE})|(?P<label>{LABEL}))?[_-]?(?P<part>{'|'.join(PARTS)})?", re.IGNORECASE)
BIDS = re.compile(r"sub-[a-z0-9]+(_|$)")
SEPARATORS = "_. -"
ABOUT_THE_LABEL = ("space", "desc", "label", "seg", "atlas", "res", "den")  # BIDS entities that an image need not share


@dataclass(frozen=True)
class CaseFile:
    """path: `relative` to the folder that is searched. What is read from names ignores case and how accents are coded."""

    path: Path
    relative: Path

    @cached_property
    def stem(self) -> str:
        return folded(original_stem(self.path))

    @cached_property
    def part(self) -> str:
        """`training`, if no folder says `validation` or `test`, as imagesTs does."""
        said = [match["part"] for match in map(ROLE.fullmatch, self.relative.parent.parts) if match and match["part"]]
        return PARTS[said[-1].lower()] if said else "training"

    @cached_property
    def folder(self) -> str:
        """Without the folders that only say `images`, `labels` or a part."""
        return folded("/".join(name for name in self.relative.parent.parts if not ROLE.fullmatch(name)))

    @property
    def in_label_folder(self) -> bool:
        return any(match["label"] for match in map(ROLE.fullmatch, self.relative.parent.parts) if match)

    @property
    def says_label(self) -> bool:
        return _without_word(self.stem, LABEL) != self.stem

    @property
    def is_bids(self) -> bool:
        return BIDS.match(self.stem) is not None

    @property
    def is_derived(self) -> bool:
        """An image made from images."""
        return self.is_bids and "derivatives" in self.relative.parts

    def keys(self, words: str) -> list[tuple[str, str, str]]:
        """By what a label and its image may agree: the stem; or the stem without `words` and without its folder's name."""
        bare = _without_word(self.stem, words)
        last = self.folder.rpartition("/")[2]
        rest = bare.removeprefix(last)
        if last and (not rest or rest[0] in SEPARATORS):
            bare = rest.lstrip(SEPARATORS)
        return [(self.part, self.folder, name) for name in dict.fromkeys((self.stem, bare))]

    @property
    def subject(self) -> str:
        """Of a BIDS name: sub-01."""
        return self.stem.partition("_")[0]

    @property
    def entities(self) -> frozenset[str]:
        """Of a BIDS name, but for those that describe a label."""
        pairs = [word for word in self.stem.split("_") if "-" in word]
        return frozenset(pair for pair in pairs if pair.partition("-")[0] not in ABOUT_THE_LABEL)


def original_stem(path: Path) -> str:
    return next(path.name[: -len(suffix)] for suffix in SUFFIXES if path.name.lower().endswith(suffix))


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _without_word(stem: str, words: str) -> str:
    """scan_seg, label0001 -> scan, 0001"""
    return re.sub(rf"(^|[{SEPARATORS}])({words})$|^({words})([{SEPARATORS}]|(?=\d))", "", stem)
