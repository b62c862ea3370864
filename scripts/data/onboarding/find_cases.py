"""Folders of images and labels, in any layout -> cases, what is in doubt about them, and all that is wrong with them at once.

Roles and cases are read from names; where names leave it open, from content: labels are whole numbers, few of them, in regions.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from ..cases.case_error import CaseError
from ..formats.dicom_series import find_series, series_in
from ..formats.open_image import is_image
from ..masks.save_mask import is_own_map
from .case_file import CaseFile, folded, original_stem
from .file_content import are_structures, header_of, looks_like_labels, may_be_on_one_grid
from .match_patterns import channel_names, match_patterns
from .pair_files import Channels, Pair, pair_files, usual_channels

MERGED = "labels_merged"  # the folder of label maps made of structures
SAMPLE = 3  # files of a kind, or cases, whose voxels are read
MASKS = 6  # of a case, to see whether they are structures
CHOSEN = {"final", "consensus", "maj", "resampled", "corrected", "pre", "preprocessed"}
PASSED_OVER = {"orig", "original", "raw", "auto", "automated", "ai", "or", "and", "mask", "masks", "brain", "endpoints"}


@dataclass(frozen=True)
class FoundCase:
    """part: `training`; `validation` or `test` where a folder says so; `test` without a label. images: one for each channel.

    label: None where there is none, or where `structures` (name -> file) are still to be merged into one.
    """

    part: str
    images: tuple[Path, ...]
    label: Path | None = None
    name: str = ""
    structures: tuple[tuple[str, Path], ...] = ()
    subject: str | None = None  # where a list says it, and which classes the label tells of
    annotated: tuple[str, ...] = ()


@dataclass
class FoundCases:
    """channels: what tells the images of a case apart, in order; [""] if there is one. left_out: belongs to no case."""

    cases: list[FoundCase] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    problems: list[CaseError] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def refuse(self, path: Path, rule: str, found: str, remedy: str) -> None:
        self.problems.append(CaseError(str(path), rule, found, remedy))

    def leave_out(self, files: Iterable[CaseFile]) -> None:
        self.left_out += [file.path for file in files]


def find_cases(
    folder: Path,
    labels: Path | None,
    root: Path,
    channels: Sequence[str] = (),
    patterns: tuple[Sequence[str], str] | None = None,
) -> FoundCases:
    """labels: where they are, if not below `folder`; root: all files must lie inside it, not behind links.

    channels: which images of a case to take, in this order, by what their names end in; if none is given, all that at least
    half of the labelled cases have: the others are refused.
    patterns: of images and of labels, in place of what names and contents say; see `match_patterns`.
    """
    for remembered in (header_of, looks_like_labels):
        remembered.cache_clear()
    found, alone = FoundCases(), []
    if patterns:
        pairs, alone, left = match_patterns(list(files_in(folder, root, found)), folder, *patterns)
        found.leave_out(left)
        label_files, unowned = [label for pair in pairs for label in pair.labels], []
    else:
        images, label_files = _images_and_labels(folder, labels, root, found)
        pairs, unowned = pair_files(images, label_files)
    for pair in pairs:
        if not pair.images:
            for label in pair.labels:
                found.refuse(label.path, "a label must have an image", "no image has its name", "add the image or rename it")
    pairs = [pair for pair in pairs if pair.images]
    usual = usual_channels([pair.images for pair in pairs]) or [""]
    found.channels = [folded(name) for name in channels] or usual
    if patterns and len(patterns[0]) > 1:  # in the order in which they are given
        found.channels = [name for name in channel_names(patterns[0]) if name in usual]
    if not channels and not patterns:
        pairs = _on_the_grid_of_labels(pairs, found)
    merge = any(len(pair.labels) > 1 for pair in pairs) if patterns else _holds_structures(pairs)
    by_slot = Counter(label.slot(pair.identity) for pair in pairs for label in pair.labels)
    for pair in pairs:
        _add_labelled(found, pair, by_slot, merge, only_chosen=bool(channels))
    for group in [pair.images for pair in alone] or _unlabelled(unowned, found):
        _add(found, "test", group, None, only_chosen=bool(channels), name="")
    if patterns and not pairs + alone:
        found.refuse(folder, "there must be images", f"none matches {' or '.join(patterns[0])}", "correct --image")
    elif not label_files and not found.problems:
        remedy = "name theirs by --labels, or say by --image and --label what names a case"
        nothing = "; ".join(["no folder, name or content says that a file is one", *found.doubts])
        found.refuse(folder, "there must be labels", nothing, remedy)
    if found.cases and all(case.part == "test" for case in found.cases if case.label or case.structures):
        found.cases = [_of_part(case, "training") if case.label or case.structures else case for case in found.cases]
    found.channels = list(channels) or _as_written(found)
    return found


def files_in(folder: Path, root: Path, found: FoundCases) -> Iterator[CaseFile]:
    """Image files and folders of DICOM series. Links are followed where they stay inside `root`; their targets count once."""
    inside, here = root.resolve(), folder.resolve()
    paths: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        kept = sorted(name for name in folders if name[0] != "." and name != MERGED)
        files = [name for name in sorted(names) if name[0] != "." and is_image(Path(place, name))]
        folders.clear()
        for path in (Path(place, name) for name in [*kept, *files]):
            if not path.resolve().is_relative_to(inside):
                rule = f"files must lie inside {root}, not behind links"
                found.refuse(path, rule, f"it leads to {path.resolve()}", "move or copy it there")
            elif os.fsencode(path) != str(path).encode(errors="replace"):
                found.refuse(path, "a name must be UTF-8, as dataset.json is", "this one is not", "rename it")
            elif not path.is_dir():
                (found.left_out if is_own_map(path) else paths).append(path)
            elif not path.is_symlink() or path.resolve() not in map(Path.resolve, (Path(place), *Path(place).parents)):
                folders.append(path.name)
    for place in find_series(folder):
        if series_in(place) is None:
            found.left_out.append(Path(place))
        else:
            paths.append(Path(place))
    own = {path: here / path.relative_to(folder) for path in paths}
    linked = {target for path in paths if (target := path.resolve()) != own[path]}
    taken = [path for path in paths if own[path] not in linked]
    shared = Path(os.path.commonpath([path.parent for path in taken])) if taken else folder
    yield from (CaseFile(path, path.relative_to(shared)) for path in taken)


def _images_and_labels(
    folder: Path, labels: Path | None, root: Path, found: FoundCases
) -> tuple[list[CaseFile], list[CaseFile]]:
    files = _without_earlier_stages(list(files_in(folder, root, found)), found)
    if labels and labels != folder:
        files = [file for file in files if not file.path.is_relative_to(labels)]
        candidates = [file for file in files_in(labels, root, found) if file.path not in {other.path for other in files}]
        chosen = [file for file in candidates if file.says_label] or candidates
        others = {file for file in files if file.folder_says == "label" or (file.is_bids and file.says_label)}
    else:
        chosen = _labels_among(files, found)
        others = set(chosen)
    images = [file for file in files if file not in others and not file.is_derived]
    found.leave_out(file for file in files if file not in {*images, *chosen})
    return images, chosen


def _labels_among(files: Sequence[CaseFile], found: FoundCases) -> list[CaseFile]:
    """By folder and name, where the content of some of their kind does not say otherwise."""
    has_folder = any(file.folder_says == "label" for file in files)
    kinds: dict[tuple[str, bool, tuple[str, str]], list[CaseFile]] = defaultdict(list)
    common = Counter(file.kind for file in files), Counter(file.kind[1] for file in files)
    for file in files:
        place, last = file.kind
        shared = (place, last) if common[0][file.kind] > 1 else ("", last) if common[1][last] > 1 else ("", "")
        kinds[file.role_folder, file.says_label, shared].append(file)
    chosen = set()
    for (_, says_label, _), members in kinds.items():
        if (folder_says := members[0].folder_says) == "image" and has_folder:
            continue
        named = folder_says == "label" or (says_label and (members[0].is_bids or not has_folder))
        verdicts = (looks_like_labels(str(file.path), named or says_label) for file in members[: 2 * SAMPLE])
        seen = list(islice((verdict for verdict in verdicts if verdict is not None), SAMPLE))
        by_content = bool(seen) and (any(seen) if named or says_label else all(seen))
        if by_content or (named and not seen):
            chosen.update(members)
        if seen and by_content != named:
            content = "labels" if by_content else "images"
            found.doubts.append(f"{len(members)} files such as {members[0].path} are taken for {content} by their content")
    return [file for file in files if file in chosen]


def _without_earlier_stages(files: list[CaseFile], found: FoundCases) -> list[CaseFile]:
    """Of folders beside each other with files of one name, such as `pre` and `orig`, the ones that are worked on further."""
    contents: dict[Path, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file in files:
        contents[file.path.parent.parent][file.path.parent.name].add(file.path.name)
    dropped = set()
    for place, folders in contents.items():
        words = {name: set(re.findall(r"[a-z]+", name.casefold())) for name in folders}
        better = [names for folder, names in folders.items() if words[folder] & CHOSEN]
        dropped |= {
            place / folder
            for folder, names in folders.items()
            if words[folder] & PASSED_OVER and not words[folder] & CHOSEN and any(names & others for others in better)
        }
    if dropped:
        found.doubts.append(f"{_some(dropped)}: left out, since folders of later stages lie beside them")
    found.leave_out(file for file in files if file.path.parent in dropped)
    return [file for file in files if file.path.parent not in dropped]


def _on_the_grid_of_labels(pairs: list[Pair], found: FoundCases) -> list[Pair]:
    """Without the channels that in most cases lie on another grid than the label."""
    if len(found.channels) == 1:
        return pairs
    apart = Counter()
    for pair in pairs:
        for channel, images in pair.images.items():
            apart[channel] += not may_be_on_one_grid(str(pair.labels[0].path), str(images[0].path))
    off = {name for name in found.channels if 2 * apart[name] > sum(name in pair.images for pair in pairs)}
    if not off or off == set(found.channels):
        return pairs
    found.channels = [name for name in found.channels if name not in off]
    found.doubts.append(f"{', '.join(sorted(off))}: left out, since most of them lie on another grid than the labels")
    for pair in pairs:
        found.leave_out(image for name in off for image in pair.images.get(name, []))
    return [pair._replace(images={name: images for name, images in pair.images.items() if name not in off}) for pair in pairs]


def _holds_structures(pairs: Sequence[Pair]) -> bool:
    """Whether the labels of a case are one file a structure, and not several views of the same ones."""
    several = sorted((pair for pair in pairs if len(pair.labels) > 1), key=lambda pair: -len(pair.labels))
    slots = Counter(label.slot(pair.identity) for pair in several for label in pair.labels)
    if len([slot for slot, count in slots.items() if count > 1]) < 2:
        return False
    return all(are_structures([str(label.path) for label in pair.labels[:MASKS]]) for pair in several[:SAMPLE])


def _add_labelled(found: FoundCases, pair: Pair, by_slot: Counter, merge: bool, only_chosen: bool) -> None:
    part = pair.labels[0].part or next(iter(pair.images.values()))[0].part or "training"
    name = "_".join(pair.identity)
    if merge:
        shared = set.intersection(*map(set, by_slot))
        slots = [(label.slot(pair.identity), label.path) for label in pair.labels]
        named = [("_".join(word for word in slot if word not in shared) or "_".join(slot), path) for slot, path in slots]
        _add(found, part, pair.images, None, only_chosen, name, tuple(sorted(named)))
        return
    ranked = sorted(pair.labels, key=lambda label: _rank(label.slot(pair.identity)))
    best, *others = ranked
    slots = [label.slot(pair.identity) for label in ranked]
    if others and (_rank(slots[0]) == _rank(slots[1]) or any(by_slot[slot] < 2 for slot in slots)):
        files = " and ".join(str(label.path) for label in pair.labels)
        remedy = "remove all but one, or name the right ones by --labels or --label"
        image = next(iter(pair.images.values()))[0]
        found.refuse(image.path, "an image may have one label", f"its name fits {files}", remedy)
        return
    if others:
        doubt = f"each case has labels {' and '.join('_'.join(slot) for slot in slots[:4])}; the first is taken"
        found.doubts += [doubt] if doubt not in found.doubts else []
        found.leave_out(others)
    _add(found, part, pair.images, best.path, only_chosen, name)


def _rank(slot: Sequence[str]) -> tuple[int, int, int]:
    """The lower, the likelier are these the labels that are meant."""
    return len(PASSED_OVER.intersection(slot)), -len(CHOSEN.intersection(slot)), len(set(slot))


def _unlabelled(images: list[CaseFile], found: FoundCases) -> list[Channels]:
    """The images of each case without a label, if all are there and are like those of the others."""
    groups: dict[tuple[str, str], Channels] = defaultdict(lambda: defaultdict(list))
    known = [header_of(str(path)) for case in found.cases[:1] for path in case.images]
    for image in images:
        ends = (channel for channel in found.channels if re.search(rf"(^|[_. -]){re.escape(channel)}$", image.stem))
        channel = "" if found.channels == [""] else next(ends, None)
        header = header_of(str(image.path))
        if channel is None or (known and known[0] and header and header.channels != known[0].channels):
            found.left_out.append(image.path)
        else:
            groups[str(image.path.parent), image.stem.removesuffix(channel)][channel].append(image)
    whole, theirs = [], {path.parent for case in found.cases for path in case.images}
    for group in groups.values():
        first = next(iter(group.values()))[0]
        is_beside = first.path.parent in theirs and bool(first.folder_words) and not re.search(r"\d", first.stem)
        if set(group) == set(found.channels) and not is_beside:  # further images of a labelled case are none for testing
            whole.append(group)
        else:
            found.leave_out(image for files in group.values() for image in files)
    return whole


def _add(
    found: FoundCases,
    part: str,
    group: Channels,
    label: Path | None,
    only_chosen: bool,
    name: str,
    structures: tuple[tuple[str, Path], ...] = (),
) -> None:
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
            found.leave_out(images)
        else:
            missing = f"most cases have no {channel}"
            found.refuse(images[0].path, "all cases must have the same channels", missing, f"remove it, {remedy}")
    if len(found.problems) == problems:
        images = tuple(group[channel][0].path for channel in found.channels)
        found.cases.append(FoundCase(part, images, label, name, structures))


def _of_part(case: FoundCase, part: str) -> FoundCase:
    return replace(case, part=part)


def _as_written(found: FoundCases) -> list[str]:
    """Channels in the spelling of the first case's names."""
    stems = [original_stem(path) for path in found.cases[0].images] if found.cases else []
    ends = [stem[len(stem) - len(name) :] for stem, name in zip(stems, found.channels, strict=False)]
    return [end if folded(end) == name else name for end, name in zip(ends, found.channels, strict=False)] or found.channels


def _some(paths: Iterable[Path]) -> str:
    shown = sorted(map(str, paths))
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")
