"""The labels of the files, and how a preset merges them -> the classes that are trained, and the value of each in masks."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..run.close_names import did_you_mean

MergeLabels = Mapping[str, Sequence[str | int]]


def classes_of(labels: Mapping[str, str], merge_labels: MergeLabels = MappingProxyType({})) -> dict[str, str]:
    """The classes of a training run, in the order of the network's outputs.

    Args:
        labels: value in the label files -> name.
        merge_labels: class -> the labels that it is made of, by name or value. What it does not name becomes background. Empty:
            every label is a class.

    Returns:
        Value in masks -> name. A class has the lowest value of its labels: no other class has it, and where labels are left
        out, masks and label files agree.

    Raises:
        ValueError: for labels that are not there, stand in two classes, or are the background; for a class of none; and unless
            the classes rise by their values.

    Example:
        >>> from scripts.basics.classes import classes_of
        >>> labels = {"0": "background", "1": "left lung", "2": "right lung", "3": "trachea", "4": "lesion"}
        >>> classes_of(labels, {"lung": ["left lung", "right lung"], "lesion": [4]})
        {'0': 'background', '1': 'lung', '4': 'lesion'}
    """
    if not merge_labels:
        return {str(value): name for value, name in labels.items()}
    background = next(iter(labels.values()))
    groups = _groups(labels, merge_labels)
    if background in groups:
        raise ValueError(f"merge_labels names {background!r}, the background, which is whatever no class has; leave it out")
    found = {str(min(values)): name for name, values in groups.items()}
    rising = sorted(found, key=int)
    if [*found] != rising:
        order = ", ".join(found[value] for value in rising)
        raise ValueError(f"merge_labels must rise by the lowest value of each class, as masks have them; write {order}")
    return {"0": background, **found}


def merged_values(labels: Mapping[str, str], merge_labels: MergeLabels = MappingProxyType({})) -> dict[int, int]:
    """Value in the label files -> value in masks, 0 for what becomes background. Raises ValueError as `classes_of` does."""
    classes_of(labels, merge_labels)
    if not merge_labels:
        return {int(value): int(value) for value in labels}
    merged = {value: min(values) for values in _groups(labels, merge_labels).values() for value in values}
    return {int(value): merged.get(int(value), 0) for value in labels}


def _groups(labels: Mapping[str, str], merge_labels: MergeLabels) -> dict[str, list[int]]:
    """Class -> the values that it is made of."""
    by_name = {name: int(value) for value, name in labels.items()}
    classes: dict[int, str] = {0: "the background"}
    groups: dict[str, list[int]] = {}
    for name, members in merge_labels.items():
        if isinstance(members, str) or not members:
            raise ValueError(f"merge_labels must give {name!r} a list of labels, such as [liver] or [1, 2], got {members!r}")
        groups[name] = []
        for member in members:
            value = by_name.get(member) if isinstance(member, str) else member
            if value is None or value not in by_name.values():
                close = did_you_mean(str(member), by_name)
                raise ValueError(f"merge_labels names {member!r} for {name!r}, which labels does not have{close}")
            if value in classes:
                raise ValueError(f"merge_labels names {member!r} for {name!r}, which is in {classes[value]} already")
            classes[value] = repr(name)
            groups[name].append(value)
    return groups
