"""Names of tensors -> what wrappers wrote before the names that a network knows."""

import re
from collections.abc import Iterable
from pathlib import Path

WRAPPERS = ("module.", "_orig_mod.")  # torch's data parallel modules, and torch.compile


def find_prefix(names: Iterable[str], expected: Iterable[str], known: Iterable[str], path: Path) -> str:
    """The chain of `known` prefixes, perhaps empty, behind which `names` holds the most of the `expected` names.

    Whether that is all of them is for the caller to check. Raises ValueError if two chains are equally good: then the file
    holds two sets of weights.
    """
    found = count_found(names, expected, known)
    most = max(found.values())
    best = [chain for chain, count in found.items() if count == most]
    if most and len(best) > 1:
        raise ValueError(
            f"{path} holds weights for this network more than once, under {' and '.join(map(repr, sorted(best)))}: "
            "save those that are meant, alone"
        )
    return best[0]


def count_found(names: Iterable[str], expected: Iterable[str], known: Iterable[str]) -> dict[str, int]:
    """Each chain of `known` prefixes in `names` -> how many of the `expected` names stand behind it."""
    names, expected = list(names), set(expected)
    link = re.compile("|".join(map(re.escape, known)))
    found = {chain: 0 for name in names for chain in _chains(name, link)} or {"": 0}
    for chain in found:
        found[chain] = sum(name.startswith(chain) and name[len(chain) :] in expected for name in names)
    return found


def _chains(name: str, link: re.Pattern[str]) -> Iterable[str]:
    """`module.sam.x` -> "", `module.`, `module.sam.`."""
    end = 0
    yield ""
    while match := link.match(name, end):
        end = match.end()
        yield name[:end]
