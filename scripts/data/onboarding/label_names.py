"""The values in label files, and what people call them -> the `labels` of a dataset.json."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..cases.case_error import CaseError
from ..cases.label_values import LARGEST
from ..cases.open_case import require_one_channel
from ..cases.read_case import WHOLE
from ..formats.open_image import open_image

NO_NAME = ("$", "@", "%")  # at a name's start: MONAI would take it for an expression


def values_in(labels: Sequence[Path]) -> tuple[dict[Path, set[int]], list[CaseError]]:
    """The values in each label, every voxel read; and what is wrong with the others."""
    values: dict[Path, set[int]] = {}
    problems = []
    for label in tqdm(labels, desc="reading labels", unit="file", dynamic_ncols=True):
        try:
            values[label] = _values_in(str(label))
        except CaseError as error:
            problems.append(error)
    return values, problems


def _values_in(label: str) -> set[int]:
    header = open_image(label)
    require_one_channel(header)
    stored = np.unique(header.read())
    values = np.rint(stored)
    wrong = [f"{value:g}" for value in stored[~(np.abs(stored - values) <= WHOLE) | (values < 0) | (values > LARGEST)]]
    if wrong:
        rule, remedy = f"labels must be whole numbers from 0 to {LARGEST}", "correct it; if it is an image, rename it"
        raise CaseError(label, rule, f"found {', '.join(wrong[:5])}", remedy)
    return {int(value) for value in values}


def names_of(content: Mapping[str, Any], given: Mapping[int, str] = {}) -> dict[int, str]:
    """Value -> name by a dataset.json: the Decathlon's {"1": "liver"} or nnU-Net's {"liver": 1}, and as `given`.

    Raises ValueError for nnU-Net's regions, unless names are given.
    """
    labels = content.get("labels")
    pairs = labels.items() if isinstance(labels, Mapping) else ()
    names = {}
    for key, value in pairs:
        value, name = (int(key), str(value)) if str(key).isdecimal() else (value, str(key))
        if isinstance(value, list) and len(value) > 1 and not given:
            raise ValueError(
                f"dataset.json says that {name}, {value}, is a region; name the values themselves by --label-names, and the "
                "regions in the preset"
            )
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, int):
            names[value] = name
    return {**names, **given}


def modalities_of(content: Mapping[str, Any]) -> list[str]:
    """By the Decathlon's `modality` or nnU-Net's `channel_names`."""
    names = content.get("modality") or content.get("channel_names")
    return [str(names[key]) for key in sorted(names, key=str)] if isinstance(names, Mapping) else []


def name_values(values: Iterable[int], names: Mapping[int, str]) -> dict[str, str]:
    """{0, 3, 7} and {7: "tumour"} -> {"0": "background", "3": "label_3", "7": "tumour"}. Raises ValueError in words."""
    labels = {str(value): names.get(value, f"label_{value}") for value in sorted({0, *values})}
    labels["0"] = names.get(0, "background")
    if len(labels) == 1:
        raise ValueError("the labels hold no value but 0, the background; check that they are labels")
    for value, name in labels.items():
        if not name or name.startswith(NO_NAME):
            raise ValueError(
                f"the name of a label must not be empty or begin with $, @ or %, got {name!r} for {value}; rename it"
            )
    if len(set(labels.values())) < len(labels):
        raise ValueError(f"every label must have a name of its own, got {labels}; give others by --label-names")
    return labels
