"""A dataset.json, of the Decathlon's or nnU-Net's form, or the voxels themselves -> what the values in masks mean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..cases.datalist import read_json
from ..cases.label_values import is_ignored
from ..onboarding.label_names import name_values, names_of, values_in
from .pair_masks import MaskPair


class MaskLabels(NamedTuple):
    """labels: value -> name, the first is background. ignored: values where nothing is measured. regions: name -> values."""

    labels: dict[str, str]
    ignored: list[int]
    regions: dict[str, list[int]]


def find_labels(path: Path | None, given: Mapping[int, str], pairs: Sequence[MaskPair]) -> MaskLabels:
    """By the dataset.json at `path`, and as `given`; without either, by all values in references and masks.

    nnU-Net's regions, {"whole tumour": [1, 2]}, are measured as such.

    Raises:
        ValueError: for labels that make no sense.
        CaseError: for what is no JSON.
    """
    content = {} if path is None else read_json(path)
    named = content.get("labels")
    named = dict(named) if isinstance(named, Mapping) else {}
    regions = {
        str(name): [int(value) for value in values]
        for name, values in named.items()
        if isinstance(values, list) and all(isinstance(value, int) for value in values)
    }
    names = names_of({"labels": {name: value for name, value in named.items() if name not in regions}}, given)
    ignored = [value for value, name in names.items() if is_ignored(name)]
    names = {value: name for value, name in names.items() if value not in ignored}
    values = {*names} | {value for members in regions.values() for value in members}
    if not values - {0}:
        files = [file for pair in pairs for file in (pair.reference, pair.mask)]
        values = {value for found in values_in(files)[0].values() for value in found} - {*ignored}
    return MaskLabels(name_values(values, names), ignored, regions)
