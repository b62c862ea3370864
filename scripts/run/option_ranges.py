"""Every option of the configs -> the values that it may have; those that contradict each other."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from .paths import PATHS


class Range(NamedTuple):
    """says: how a sentence goes on after "must be". holds: of a value that is no expression."""

    says: str
    holds: Callable[[Any], bool]


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(least: int, most: float = math.inf) -> Range:
    says = f"a whole number of at least {least}" if most == math.inf else f"a whole number from {least} to {most}"
    return Range(says, lambda value: _is_whole(value) and least <= value <= most)


def number(says: str, holds: Callable[[float], bool] = lambda _: True) -> Range:
    return Range(f"a number{says}", lambda value: _is_number(value) and holds(value))


def word(*words: str) -> Range:
    return Range(" or ".join(words), lambda value: value in words)


def optional(inner: Range) -> Range:
    return Range(f"{inner.says}, or null", lambda value: value is None or inner.holds(value))


def sequence(says: str, count: int | None, holds: Callable[[Any], bool]) -> Range:
    def fits(value: Any) -> bool:
        return isinstance(value, list | tuple) and count in (None, len(value)) and all(holds(item) for item in value)

    return Range(says, fits)


def _are_labels(value: Any) -> bool:
    if not isinstance(value, Mapping) or any(isinstance(key, bool) or not str(key).isdecimal() for key in value):
        return False
    keys, names = [int(key) for key in value], list(value.values())
    named = all(isinstance(name, str) and name.strip() for name in names) and len(set(names)) == len(names)
    return named and len(keys) > 1 and keys[0] == 0 and keys == sorted(set(keys)) and keys[-1] < 2**16


def _are_axcodes(value: Any) -> bool:
    return isinstance(value, str) and sorted("RAS".find({"L": "R", "P": "A", "I": "S"}.get(c, c)) for c in value) == [0, 1, 2]


AT_LEAST_0 = number(" of at least 0", lambda x: x >= 0)
ABOVE_0 = number(" above 0", lambda x: x > 0)
SHARE = number(" from 0 to below 1", lambda x: 0 <= x < 1)
PERCENT = number(" from 0 to 100", lambda x: 0 <= x <= 100)
SEED = whole(0, 2**32 - 1)
SWITCH = Range("true or false", lambda value: str(value).lower() in ("true", "false"))
PATH = Range("a path, in quotes where it looks like a number", lambda value: isinstance(value, str))

RANGES: dict[str, Range] = {
    **dict.fromkeys(PATHS, PATH),
    "init_from": optional(PATH),
    **dict.fromkeys(("resume", "skip_bad", "empty_labels", "encoder_trainable", "spacing_known", "amp"), SWITCH),
    **dict.fromkeys(("seed", "encoder_seed"), SEED),
    **dict.fromkeys(("modalities", "roi_depth", "batch_size", "max_epochs", "epoch_length", "val_interval"), whole(1)),
    "early_stopping_patience": whole(1),
    "first_stage_epochs": Range("a whole number from 1 to below max_epochs", _is_whole),  # the rest: contradictions
    "num_classes": whole(2),
    "ignore_index": optional(whole(2)),
    "num_workers": whole(0),
    "labels": Range(
        'names by label value, each once and in quotes, rising from the background: {"0": background, "1": liver} (in YAML no, '
        "off, yes and on without quotes are no text)",
        _are_labels,
    ),
    "ignore_label": sequence("a list of whole numbers, values in your labels, such as [255]", None, _is_whole),
    "class_weights": optional(
        sequence("a list of numbers of at least 0, one for each class, background first", None, AT_LEAST_0.holds)
    ),
    "axcodes": Range("three capitals, one each of R or L, A or P, S or I, such as RAS", _are_axcodes),
    "spacing": sequence(
        "a list of three numbers in mm, each above 0, or -1 to stay as stored",
        3,
        lambda x: _is_number(x) and (x > 0 or x == -1),
    ),
    "spatial_size": sequence("a list of two whole numbers of at least 1", 2, lambda x: _is_whole(x) and x >= 1),
    **dict.fromkeys(("learning_rate", "second_stage_rate", "lora_alpha"), ABOVE_0),
    **dict.fromkeys(("trained_blocks", "lora_rank", "adapter_width"), whole(1)),
    "layer_decay": number(" above 0, at most 1", lambda x: 0 < x <= 1),
    **dict.fromkeys(("weight_decay", "nsd_tolerance", "crop_pos", "crop_neg"), AT_LEAST_0),
    **dict.fromkeys(("val_fraction", "warmup_fraction"), SHARE),
    "supervision_weights": sequence("a list of numbers of at least 0, finest stage first", None, AT_LEAST_0.holds),
    "nsd_unit": word("voxel", "mm"),
    "part": word("validation", "test", "training"),
    "encoder_variant": Range(
        "vit_b, vit_l, vit_h or the dimensions of another ViT",
        lambda value: isinstance(value, Mapping) or value in ("vit_b", "vit_l", "vit_h"),
    ),
    "device": Range("cpu, cuda or cuda:NUMBER", lambda value: isinstance(value, str)),
    "cache_limit": optional(ABOVE_0),
    "cached_views": sequence(
        "a list of lists of transforms, [[]] for the volumes as they are", None, lambda x: isinstance(x, list | tuple)
    ),
    "frozen_part": Range("the name of a part of the network", lambda value: isinstance(value, str) and value != ""),
}

_WINDOW: dict[str, Range] = dict.fromkeys(("a_min", "a_max", "b_min", "b_max"), number(""))
_PERCENTILES = {"lower": PERCENT, "upper": PERCENT, **dict.fromkeys(("b_min", "b_max"), number(""))}

# Of what a component takes.
ARGUMENTS: dict[str, dict[str, Range]] = {
    "scripts.inferers.VolumeInferer": {
        "roi_depth": whole(1),
        "mode": word("windows", "whole"),
        "overlap": SHARE,
        "memory": optional(AT_LEAST_0),
    },
    "scripts.networks.SAMSliceEncoder": {
        "memory": optional(ABOVE_0),
        "trained_blocks": whole(0),
        "lora_rank": whole(0),
        "adapter_width": whole(0),
        "lora_alpha": optional(ABOVE_0),
    },
    "ScaleIntensityRanged": _WINDOW,
    "ScaleIntensityRangePercentilesd": _PERCENTILES,
    "DataLoader": {"batch_size": whole(1), "num_workers": whole(0)},
    "torch.optim.AdamW": {"lr": ABOVE_0, "weight_decay": AT_LEAST_0},
}
RISING = (("lower", "upper"), ("a_min", "a_max"), ("b_min", "b_max"))


def contradictions(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(id, what is wrong with it) where settings that are fine by themselves cannot go together."""
    labels, classes = config.get("labels"), config.get("num_classes")
    if _is_whole(classes) and isinstance(labels, Mapping) and classes != len(labels):
        yield "num_classes", f"is {classes} and labels names {len(labels)} values; leave num_classes out"
    known = {str(value) for value in labels} if isinstance(labels, Mapping) else set()
    ignored, weights = config.get("ignore_label"), config.get("class_weights")
    if isinstance(ignored, Sequence) and (both := known & set(map(str, ignored))):
        yield "ignore_label", f"has {min(both)}, which labels names as a class; remove it from one of the two"
    if known and isinstance(weights, Sequence) and len(weights) != len(known):
        yield "class_weights", f"has {len(weights)} numbers and labels names {len(known)} classes; give one for each"
    if isinstance(weights, Sequence) and not any(weights):
        yield "class_weights", "holds zeros alone; give a number above 0 to the classes that count"
    first, epochs = config.get("first_stage_epochs"), config.get("max_epochs")
    if _is_whole(first) and _is_whole(epochs) and not 0 < first < epochs:
        yield "first_stage_epochs", f"is {first} and max_epochs is {epochs}; each of the two stages needs an epoch, change one"
    if config.get("crop_pos") == config.get("crop_neg") == 0:
        yield "crop_pos", "and crop_neg are both 0; crops must be drawn around labelled voxels, others, or both"
    if str(config.get("spacing_known")).lower() == "false":
        if config.get("nsd_unit") == "mm":
            yield "nsd_unit", "is mm and spacing_known is false; set nsd_unit to voxel"
        spacing = config.get("spacing")
        if isinstance(spacing, Sequence) and any(_is_number(x) and x > 0 for x in spacing):
            yield "spacing", f"is {spacing} mm and spacing_known is false, so nothing can be resampled by it; set -1 or true"
    intensity = config.get("intensity")
    if isinstance(intensity, Mapping) and intensity.get("_target_") in ARGUMENTS:
        for low, high in RISING:
            first, second = intensity.get(low, 0), intensity.get(high, 1)
            if _is_number(first) and _is_number(second) and first >= second:
                yield f"intensity#{low}", f"is {first} and {high} is {second}; {low} must be below {high}"
