"""Regions of a preset, which may overlap (BraTS' whole tumour, tumour core, enhancing tumour) <-> classes, which do not.

A region is a list of label values. Masks and labels hold classes all the way; the loss, the mask and the figures look at them
region by region. `region_values` is nnU-Net's `regions_class_order`: a mask begins as background, and each region in turn
overwrites its voxels with its value.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Regions = Mapping[str, Sequence[int]]


def region_classes(labels: Mapping[Any, str], regions: Regions) -> dict[str, list[int]]:
    """The class numbers of each region."""
    values = [int(value) for value in labels]
    return {name: [values.index(value) for value in members] for name, members in regions.items()}


def written_classes(labels: Mapping[Any, str], regions: Regions, region_values: Sequence[int]) -> list[int]:
    """What the voxels of each region become, as class numbers. Raises ValueError for what `wrong_regions` finds."""
    for identifier, wrong in wrong_regions(labels, regions, region_values):
        raise ValueError(f"{identifier} {wrong}")
    values = [int(value) for value in labels]
    return [values.index(value) for value in region_values]


def wrong_regions(labels: Mapping[Any, str], regions: Regions, region_values: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(id, what is wrong with it), above all if a mask of exactly these regions would not be what was labelled."""
    names = {int(value): name for value, name in labels.items()}
    for name, members in regions.items():
        if unknown := [value for value in members if value not in names or value == 0]:
            structures = ", ".join(f"{value}" for value in names if value)
            found = f"has {unknown[0]} in {name!r}, and structures have the values {structures} in masks"
            yield "regions", f"{found} (by labels, and merge_labels if given); correct one of them"
            return
    if regions and not region_values:
        yield "regions", "needs region_values too: for each region, in this order, the label value that it becomes in a mask"
        return
    if len(region_values) != len(regions):
        yield (
            "region_values",
            f"has {len(region_values)} numbers and there are {len(regions)} regions; give the label value that each of them "
            "becomes in a mask",
        )
        return
    for value, name in names.items():
        written = 0
        for members, becomes in zip(regions.values(), region_values, strict=True):
            written = becomes if value in members else written
        if regions and written != value:
            yield (
                "region_values",
                f"would write {written} where {value} ({name}) is labelled; list the regions from the largest to the smallest, "
                "each with the value of what no later one overwrites, and each label in one of them",
            )
            return
