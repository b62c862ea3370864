"""Patterns such as {case}_ct.nii.gz and seg/{case}* -> the files of each case."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from .case_file import WORDS, CaseFile, folded, original_stem
from .pair_files import Channels, Pair

WILD = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
PLACES = re.compile(r"(\{case\}|\*\*|\*|\?)")


def match_patterns(
    files: Sequence[CaseFile], folder: Path, images: Sequence[str], label: str
) -> tuple[list[Pair], list[Pair], list[CaseFile]]:
    """Pairs, labels without an image as pairs too; cases without a label; and the files that match nothing.

    Patterns are of paths below `folder`. Several for images, or what `*` stands for in a single one, are the channels.
    """
    channels: dict[str, Channels] = defaultdict(lambda: defaultdict(list))
    labels: dict[str, list[CaseFile]] = defaultdict(list)
    paths = {file: file.path.relative_to(folder).as_posix() for file in files if file.path.is_relative_to(folder)}
    rest, names = [], channel_names(images)
    for file, path in paths.items():
        is_label = _regex(label).fullmatch(path)
        for name, pattern in zip(names, images, strict=True):
            if (found := _regex(pattern).fullmatch(path)) and not (is_label and _letters(label) > _letters(pattern)):
                wild = "_".join(filter(None, found.groups()[1:]))
                channels[found["case"]][name if len(images) > 1 else folded(wild)].append(file)
                break
        else:
            rest.append(file)
    if len(images) == 1 and all(len(group) == 1 for group in channels.values()):
        channels = defaultdict(dict, {case: {"": next(iter(group.values()))} for case, group in channels.items()})
    left = []
    for file in rest:
        if case := _case_of(paths[file], label, channels):
            labels[case].append(file)
        else:
            left.append(file)
    pairs = [Pair(_words(case), labels[case], channels.get(case, {})) for case in sorted(labels)]
    alone = [Pair(_words(case), [], group) for case, group in sorted(channels.items()) if case not in labels]
    return pairs, alone, left


def _case_of(path: str, pattern: str, cases: dict[str, Channels]) -> str | None:
    """Of the cases whose pattern a label matches the longest; a case without images where none is."""
    found = _regex(pattern).fullmatch(path)
    if not found:
        return None
    if found["case"] in cases:
        return found["case"]
    fitting = [case for case in cases if _regex(pattern, case).fullmatch(path)]
    return max(fitting, key=len, default=found["case"])


def _regex(pattern: str, case: str | None = None) -> re.Pattern[str]:
    parts, named = [], False
    for part in PLACES.split(pattern.removeprefix("./")):
        if part == "{case}":
            parts.append(re.escape(case) if case else "(?P=case)" if named else "(?P<case>.+)")
            named = True
        else:
            parts.append(f"({WILD[part]})" if part in WILD else re.escape(part))
    return re.compile("".join(parts))


def _letters(pattern: str) -> int:
    """A file that fits two patterns belongs to the one that says more of it."""
    return len(PLACES.sub("", pattern))


def channel_names(patterns: Sequence[str]) -> list[str]:
    """What each pattern says beside {case}, its suffix and wild cards."""
    return [folded(original_stem(Path(pattern.replace("{case}", "")))).strip("_-. /*") for pattern in patterns]


def _words(case: str) -> tuple[str, ...]:
    return tuple(WORDS.findall(folded(case.replace("/", "_"))))
