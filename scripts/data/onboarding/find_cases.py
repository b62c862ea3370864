"""Folders of images and labels, in any of the usual layouts -> cases, and all that is wrong with them at once.

Understood from names alone: the Medical Segmentation Decathlon (imagesTr, labelsTr, imagesTs), nnU-Net (NAME_0000), folders
of images and of labels, labels beside images (NAME_seg), a folder for each case, BIDS with its derivatives.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..cases.case_error import CaseError
from ..formats.open_image import SUFFIXES
from .case_file import IMAGE, LABEL, SEPARATORS, CaseFile, folded, original_stem

Channels = dict[str, list[CaseFile]]  # what an image's name adds to its label's -> the images that add it


@dataclass(frozen=True)
class FoundCase:
    """part: `training`; `validation` or `test` where a folder says so; `test` without a label. images: one for each channel."""

    part: str
    images: tuple[Path, ...]
    label: Path | None


@dataclass
class FoundCases:
    """channels: what tells the images of a case apart, in order; [""] if there is one. left_out: belongs to no case."""

    cases: list[FoundCase] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    problems: list[CaseError] = field(default_factory=list)

    def refuse(self, path: Path, rule: str, found: str, remedy: str) -> None:
        self.problems.append(CaseError(str(path), rule, found, remedy))


def find_cases(folder: Path, labels: Path | None, root: Path, channels: Sequence[str] = ()) -> FoundCases:
    """labels: where they are, if not below `folder`; root: all files must lie inside it, not behind links.

    channels: which images of a case to take, in this order, by what their names end in; if none is given, all that at least
    half of the labelled cases have: the others are refused.
    """
    found = FoundCases()
    images, label_files = _images_and_labels(folder, labels, root, found)
    owned, unowned = _match(images, label_files, found)
    found.channels = [folded(name) for name in channels] or _usual_channels(owned)
    for label, group in owned.items():
        if group:
            _add(found, label.part, group, label.path, only_chosen=bool(channels))
        else:
            found.refuse(label.path, "a label must have an image", "no image has its name", "add the image or rename it")
    for group in _unlabelled(unowned, found):
        _add(found, "test", group, None, only_chosen=bool(channels))
    if not label_files and not found.problems:
        found.refuse(folder, "there must be labels", "no folder and no name says label, mask or seg", "name theirs by --labels")
    found.channels = list(channels) or _as_written(found)
    return found


def _images_and_labels(
    folder: Path, labels: Path | None, root: Path, found: FoundCases
) -> tuple[list[CaseFile], list[CaseFile]]:
    files = list(_files(folder, root, found))
    if labels and labels != folder:
        files = [file for file in files if not file.path.is_relative_to(labels)]
        candidates = [file for file in _files(labels, root, found) if file.path not in {other.path for other in files}]
        chosen = [file for file in candidates if file.says_label] or candidates
        others = {file for file in files if file.in_label_folder or (file.is_bids and file.says_label)}
    else:
        by_folder = any(file.in_label_folder for file in files)
        chosen = [file for file in files if file.in_label_folder or (file.says_label and (file.is_bids or not by_folder))]
        others = set(chosen)
    images = [file for file in files if file not in others and not file.is_derived]
    found.left_out += [file.path for file in files if file not in {*images, *chosen}]
    return images, chosen


def _files(folder: Path, root: Path, found: FoundCases) -> Iterator[CaseFile]:
    inside = root.resolve()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        files = [name for name in sorted(names) if name[0] != "." and name.lower().endswith(SUFFIXES)]
        for path in (Path(place, name) for name in [*folders, *files]):
            if not path.resolve().is_relative_to(inside):
                rule = f"files must lie inside {root}, not behind links"
                found.refuse(path, rule, f"it leads to {path.resolve()}", "move or copy it there")
            elif os.fsencode(path) != str(path).encode(errors="replace"):
                found.refuse(path, "a name must be UTF-8, as dataset.json is", "this one is not", "rename it")
            elif not path.is_dir():
                yield CaseFile(path, path.relative_to(folder))


def _match(
    images: list[CaseFile], labels: list[CaseFile], found: FoundCases
) -> tuple[dict[CaseFile, Channels], list[CaseFile]]:
    """The images of each label; and those without one."""
    by_key, by_subject = defaultdict(list), defaultdict(list)
    for label in labels:
        by_subject[label.subject].append(label)
        for key in label.keys(LABEL):
            by_key[key].append(label)
    owned: dict[CaseFile, Channels] = {label: defaultdict(list) for label in labels}
    unowned, contested = [], set()
    for image in images:
        owners, channel = _bids_owners(image, by_subject) if image.is_bids else _owners(image, by_key)
        if len(owners) > 1:
            if not contested.issuperset(owners):
                files = " and ".join(str(owner.path) for owner in owners)
                remedy = "remove all but one, or name the folder of the right ones by --labels"
                found.refuse(image.path, "an image may have one label", f"its name fits {files}", remedy)
            contested.update(owners)
        elif owners:
            owned[owners[0]][channel].append(image)
        else:
            unowned.append(image)
    for group in owned.values():
        if "" in group:  # an image of the label's very name: then those of longer names are other cases, not channels
            unowned += [image for channel in group.keys() - {""} for image in group.pop(channel)]
    return {label: group for label, group in owned.items() if label not in contested}, unowned


def _owners(image: CaseFile, by_key: dict[tuple[str, str, str], list[CaseFile]]) -> tuple[list[CaseFile], str]:
    """The labels of the image's name, else those to whose name it adds least; and what it adds."""
    keys = image.keys(IMAGE)
    for key in keys:
        if key in by_key:
            return by_key[key], ""
    fitting = [
        (name[end:].lstrip(SEPARATORS), (part, folder, name[:end]))
        for part, folder, name in keys
        for end in range(len(name))
        if (end == 0 or name[end] in SEPARATORS) and (part, folder, name[:end]) in by_key
    ]
    added, key = min(fitting, key=lambda fit: len(fit[0]), default=("", None))
    return by_key[key] if key else [], added


def _bids_owners(image: CaseFile, by_subject: dict[str, list[CaseFile]]) -> tuple[list[CaseFile], str]:
    """The labels with the most entities of those whose entities the image has; and what the image's name adds."""
    fitting = [label for label in by_subject.get(image.subject, []) if label.entities <= image.entities]
    most = max((len(label.entities) for label in fitting), default=0)
    owners = [label for label in fitting if len(label.entities) == most]
    added = [word for word in image.stem.split("_") if owners and word not in owners[0].entities]
    return owners, "_".join(added)


def _usual_channels(owned: dict[CaseFile, Channels]) -> list[str]:
    groups = [group for group in owned.values() if group]
    names = sorted({name for group in groups for name in group})
    return [name for name in names if 2 * sum(name in group for group in groups) >= len(groups)] or [""]


def _unlabelled(images: list[CaseFile], found: FoundCases) -> list[Channels]:
    """The images of each case without a label."""
    groups: dict[tuple[str, str, str], Channels] = defaultdict(lambda: defaultdict(list))
    for image in images:
        ends = (channel for channel in found.channels if re.search(rf"(^|[{SEPARATORS}]){re.escape(channel)}$", image.stem))
        channel = "" if found.channels == [""] else next(ends, None)
        if channel is None:
            found.left_out.append(image.path)
        else:
            groups[image.part, image.folder, image.stem.removesuffix(channel)][channel].append(image)
    return list(groups.values())


def _add(found: FoundCases, part: str, group: Channels, label: Path | None, only_chosen: bool) -> None:
    """A case, or what is wrong with it. only_chosen: further channels may be there."""
    if found.channels == [""] and len(group) == 1:
        group = {"": next(iter(group.values()))}
    problems = len(found.problems)
    for first, *others in group.values():
        if others:
            names = " and ".join(str(image.path) for image in others)
            rule = "a label may have one image" if label else "an image's name must be its own"
            found.refuse(first.path, rule, f"of that name (in upper or lower case) is {names} too", "rename or remove one")
    remedy = "or choose some that all cases have by --channels A,B"
    first = next(iter(group.values()))[0]
    for channel in [name for name in found.channels if name not in group]:
        missing = f"{channel} is missing" if channel else "the image is missing"
        found.refuse(label or first.path, "all cases must have the same channels", missing, f"add it, {remedy}")
    surplus = {name: images for name, images in group.items() if name not in found.channels}
    for channel, images in surplus.items():
        if only_chosen:
            found.left_out += [image.path for image in images]
        else:
            missing = f"most cases have no {channel}"
            found.refuse(images[0].path, "all cases must have the same channels", missing, f"remove it, {remedy}")
    if len(found.problems) == problems:
        found.cases.append(FoundCase(part, tuple(group[channel][0].path for channel in found.channels), label))


def _as_written(found: FoundCases) -> list[str]:
    """Channels in the spelling of the first case's names."""
    stems = [original_stem(path) for path in found.cases[0].images] if found.cases else []
    ends = [stem[len(stem) - len(name) :] for stem, name in zip(stems, found.channels, strict=False)]
    return [end if folded(end) == name else name for end, name in zip(ends, found.channels, strict=False)] or found.channels
