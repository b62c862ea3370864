"""Images and labels -> which belong to one case, by the rule that pairs the most labels: path, folder, name or numbers."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from .case_file import CaseFile

RULES = ("path", "folder", "stem", "numbers", "folder above")
CHANNEL = re.compile(r"0\d{3}")  # nnU-Net's

Identity = tuple[str, ...]  # the words that name a case; they stand in the paths of all its files, in this order
Channels = dict[str, list[CaseFile]]  # what the names of images add -> the images that add it


class Pair(NamedTuple):
    """The labels of one name, and the images of that name."""

    identity: Identity
    labels: list[CaseFile]
    images: Channels


def pair_files(images: Sequence[CaseFile], labels: Sequence[CaseFile]) -> tuple[list[Pair], list[CaseFile]]:
    """Every label is in one pair, perhaps without images; and the images without a label."""
    tried = [_pair(images, labels, rule) for rule in RULES]
    return max(tried, key=lambda pairs: sum(len(pair.labels) for pair in pairs[0] if pair.images))


def usual_channels(groups: Sequence[Channels]) -> list[str]:
    """What at least half of the groups have."""
    names = sorted({name for group in groups for name in group})
    return [name for name in names if 2 * sum(name in group for group in groups) >= len(groups)]


def _pair(images: Sequence[CaseFile], labels: Sequence[CaseFile], rule: str) -> tuple[list[Pair], list[CaseFile]]:
    known = {word for image in images for word in image.words[rule]}
    groups: dict[tuple[str | None, Identity], list[CaseFile]] = defaultdict(list)
    count = Counter(word for label in labels for word in set(label.words[rule]) if re.search(r"[^\W\d_]", word))
    common = {word for word in count if 2 * count[word] >= len(labels) > 1} - known
    for label in labels:
        groups[label.part, _identity(label, rule, known, common)].append(label)
    by_last = defaultdict(list)
    for part, identity in groups:
        if identity:
            by_last[identity[-1]].append((part, identity))
    owned: dict[tuple[str | None, Identity], list[tuple[CaseFile, str, str]]] = defaultdict(list)
    unowned = []
    for image in images:
        fits = [
            ((len(key[1]), image.words[rule][-len(image.stem_words) :][:1] == [*key[1][:1]], positions), key)
            for word in set(image.words[rule])
            for key in by_last[word]
            if (None in (key[0], image.part) or key[0] == image.part) and (positions := _match(key[1], image.words[rule]))
        ]
        if fits:
            (*_, positions), key = max(fits, key=lambda fit: fit[0])
            owned[key].append((image, *_rest(image, rule, positions)))
        else:
            unowned.append(image)
    by_folder = any(_collide(found) for found in owned.values())
    pairs = []
    for key, group in groups.items():
        channels: Channels = defaultdict(list)
        for image, around, rest in owned[key]:
            channels[f"{around}/{rest}" if by_folder and around else rest].append(image)
        pairs += [Pair(key[1], group, channels)] if key[1] else [Pair((), [label], {}) for label in group]
    usual = usual_channels([pair.images for pair in pairs if pair.images])
    for pair in pairs:  # of an image of the label's very name, or with a number of its own, longer names are other cases
        for rest in [rest for rest in pair.images if rest not in usual]:
            numbers = [word for word in rest.split("_") if word.isdecimal() and not CHANNEL.fullmatch(word)]
            if len(pair.images) > 1 and ("" in pair.images or numbers):
                unowned += pair.images.pop(rest)
    return pairs, unowned


def _identity(label: CaseFile, rule: str, known: set[str], common: set[str]) -> Identity:
    """Without words that no image has, unless they hold a number that not most labels have: that would be another case."""
    own = {*label.folder_words, *label.stem_words}
    return tuple(
        word
        for word in label.words[rule]
        if word in known or (re.search(r"\d", word) and (rule == "numbers" or word in own) and word not in common)
    )


def _match(identity: Identity, words: list[str]) -> tuple[int, ...]:
    """Where the words of the identity stand, in order, as far back as possible; empty if they do not."""
    positions, end = [], len(words)
    for word in reversed(identity):
        end = next((k for k in range(end - 1, -1, -1) if words[k] == word), -1)
        if end < 0:
            return ()
        positions.append(end)
    return tuple(reversed(positions))


def _rest(image: CaseFile, rule: str, positions: Sequence[int]) -> tuple[str, str]:
    """What folders and name add to the identity."""
    if rule == "numbers":
        numbers = [word for k, word in enumerate(image.words[rule]) if k not in positions]
        return "_".join(image.folder_words), "_".join([*re.findall(r"[^\W\d_]+", " ".join(image.stem_words)), *numbers])
    words, count = image.words["path" if rule.startswith("folder") else rule], len(image.stem_words)
    taken = {image.words[rule][k] for k in positions} if rule.startswith("folder") else set()
    left = [
        (k, word) for k, word in enumerate(words) if word not in taken and (rule.startswith("folder") or k not in positions)
    ]
    around = [word for k, word in left if k < len(words) - count]
    return "_".join(around), "_".join(word for k, word in left if k >= len(words) - count)


def _collide(found: Sequence[tuple[CaseFile, str, str]]) -> bool:
    """Whether only folders tell two images of a case apart."""
    places = defaultdict(set)
    for _, around, rest in found:
        places[rest].add(around)
    return any(len(around) > 1 for around in places.values())
