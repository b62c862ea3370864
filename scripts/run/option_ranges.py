"""Every option of the configs -> the values that it may have; those that contradict each other."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from ..basics.classes import classes_of
from ..basics.cleaning import wrong_cleaning
from ..basics.regions import wrong_regions
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


def _are_merged(value: Any) -> bool:
    """Which labels there are is for `contradictions` to say. A name with a # or a : would be an id of MONAI's."""
    names = list(value) if isinstance(value, Mapping) else [""]
    if not all(isinstance(name, str) and name.strip() and not re.search("[#:]|^[$@%_]", name) for name in names):
        return False
    return all(
        isinstance(members, list | tuple) and members and all(isinstance(one, str) or _is_whole(one) for one in members)
        for members in value.values()
    )


def _are_regions(value: Any) -> bool:
    """By their form."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name.strip() for name in value):
        return False
    if any("#" in name or "::" in name for name in value):  # MONAI's parts of ids
        return False
    return all(isinstance(members, list | tuple) and members and all(map(_is_whole, members)) for members in value.values())


def _are_axcodes(value: Any) -> bool:
    return isinstance(value, str) and sorted("RAS".find({"L": "R", "P": "A", "I": "S"}.get(c, c)) for c in value) == [0, 1, 2]


AT_LEAST_0 = number(" of at least 0", lambda x: x >= 0)
ABOVE_0 = number(" above 0", lambda x: x > 0)
SHARE = number(" from 0 to below 1", lambda x: 0 <= x < 1)
PERCENT = number(" from 0 to 100", lambda x: 0 <= x <= 100)
WIDTHS = sequence("a list of whole numbers of at least 1", None, lambda x: _is_whole(x) and x >= 1)
SEED = whole(0, 2**32 - 1)
SWITCH = Range("true or false", lambda value: str(value).lower() in ("true", "false"))
YES_OR_NO = Range("true or false without quotes, with a capital on a command line", lambda value: isinstance(value, bool))
# The first three are SAM's; the others need the overlay of their family.
VARIANTS = ("vit_b", "vit_l", "vit_h", "vit_t", "hiera_tiny", "hiera_small", "hiera_base_plus", "hiera_large")
VARIANTS += ("dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14", "dinov3_vits16", "dinov3_vitb16", "dinov3_vitl16")
PATH = Range("a path, in quotes where it looks like a number", lambda value: isinstance(value, str))

RANGES: dict[str, Range] = {
    **dict.fromkeys(PATHS, PATH),
    "models_dir": Range("the path of a folder, in quotes where it looks like a number", PATH.holds),
    "init_from": optional(PATH),
    "checkpoint": Range(
        "a path, in quotes where it looks like a number, or a list of paths",
        lambda value: PATH.holds(value) or (isinstance(value, list) and value != [] and all(map(PATH.holds, value))),
    ),
    **dict.fromkeys(("resume", "skip_bad", "empty_labels", "encoder_trainable", "spacing_known", "amp"), SWITCH),
    **dict.fromkeys(("probabilities", "uncertainty", "resample_probabilities"), SWITCH),
    **dict.fromkeys(("seed", "encoder_seed"), SEED),
    **dict.fromkeys(("modalities", "roi_depth", "batch_size", "max_epochs", "epoch_length", "val_interval"), whole(1)),
    "early_stopping_patience": whole(1),
    "folds": optional(whole(2)),
    "fold": optional(whole(0)),  # below folds: contradictions
    "first_stage_epochs": Range("a whole number from 1 to below max_epochs", _is_whole),  # the rest: contradictions
    "num_classes": whole(2),
    "out_channels": whole(1),
    "ignore_index": optional(whole(2)),
    "num_workers": whole(0),
    "labels": Range(
        'names by label value, each once and in quotes, rising from the background: {"0": background, "1": liver} (in YAML no, '
        "off, yes and on without quotes are no text)",
        _are_labels,
    ),
    "merge_labels": Range(
        "names of classes, each with a list of labels by name or value: {lung: [left lung, right lung], lesion: [4]} (without "
        "# and :, and in YAML no, off, yes and on in quotes)",
        _are_merged,
    ),
    "regions": Range(
        "names without # and ::, each with one or more label values, such as {whole tumour: [1, 2, 3], core: [3]}", _are_regions
    ),
    "region_values": sequence("a list of label values, one for each region", None, _is_whole),
    "ignore_label": sequence("a list of whole numbers, values in your labels, such as [255]", None, _is_whole),
    "class_weights": optional(
        sequence(
            "a list of numbers of at least 0, one for each class, background first, or for each region", None, AT_LEAST_0.holds
        )
    ),
    "crop_classes": Range(
        "balanced, or a list of numbers of at least 0, one for each class, background first, or null",
        lambda value: value in (None, "balanced") or (isinstance(value, list | tuple) and all(map(AT_LEAST_0.holds, value))),
    ),
    "axcodes": Range("three capitals, one each of R or L, A or P, S or I, such as RAS", _are_axcodes),
    "spacing": sequence(
        "a list of three numbers in mm, each above 0, or -1 to stay as stored",
        3,
        lambda x: _is_number(x) and (x > 0 or x == -1),
    ),
    "spatial_size": sequence("a list of two whole numbers of at least 1", 2, lambda x: _is_whole(x) and x >= 1),
    "detail_channels": WIDTHS,
    **dict.fromkeys(("learning_rate", "second_stage_rate", "lora_alpha"), ABOVE_0),
    **dict.fromkeys(("trained_blocks", "lora_rank", "adapter_width"), whole(1)),
    "temperature": Range(
        "a number above 0, or a list of one for each class, background first, or for each region",
        lambda value: (
            ABOVE_0.holds(value) or (isinstance(value, list | tuple) and bool(value) and all(map(ABOVE_0.holds, value)))
        ),
    ),
    "cleaning": Range(
        'names of structures, each with its steps, such as {"liver": {"keep_largest": true}}, or {} for none',
        lambda value: isinstance(value, Mapping),
    ),
    "calibration": Range(
        "what sam3d calibrate wrote into a checkpoint, or null",
        lambda value: value is None or (isinstance(value, Mapping) and isinstance(value.get("structures"), list | tuple)),
    ),
    "flag_below": optional(number(" above 0, at most 1", lambda x: 0 < x <= 1)),
    "tta": word("none", "plane", "depth", "full"),
    "before_argmax": sequence("a list of transforms", None, lambda x: isinstance(x, Mapping | str)),
    "layer_decay": number(" above 0, at most 1", lambda x: 0 < x <= 1),
    **dict.fromkeys(("weight_decay", "nsd_tolerance", "crop_pos", "crop_neg"), AT_LEAST_0),
    **dict.fromkeys(("val_fraction", "warmup_fraction", "ema_decay"), SHARE),
    "supervision_weights": sequence("a list of numbers of at least 0, finest stage first", None, AT_LEAST_0.holds),
    "nsd_unit": word("voxel", "mm"),
    "part": word("validation", "test", "training"),
    "encoder_variant": Range(
        f"{', '.join(VARIANTS)}, or the dimensions of another encoder",
        lambda value: isinstance(value, Mapping) or value in VARIANTS,
    ),
    "device": Range("cpu, cuda or cuda:NUMBER", lambda value: isinstance(value, str)),
    "cache_limit": optional(ABOVE_0),
    "cached_views": sequence(
        "a list of lists of transforms, [[]] for the volumes as they are", None, lambda x: isinstance(x, list | tuple)
    ),
    "tracking_uri": Range(
        "the address of an MLflow store, such as sqlite:////home/me/mlruns.db or https://mlflow.example.org (MLflow no longer "
        "keeps one in a plain folder)",
        lambda value: isinstance(value, str) and "://" in value and not value.startswith("file:"),
    ),
    "frozen_part": Range("the name of a part of the network", lambda value: isinstance(value, str) and value != ""),
}

_KEYS = {"keys": Range("image", lambda value: value in ("image", ["image"]))}  # of a preset's intensity
_WINDOW: dict[str, Range] = _KEYS | dict.fromkeys(("a_min", "a_max", "b_min", "b_max"), number(""))
_PERCENTILES = _KEYS | {"lower": PERCENT, "upper": PERCENT, **dict.fromkeys(("b_min", "b_max"), number(""))}

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
        "image_size": whole(16),
        "adapters": YES_OR_NO,
        "trained_blocks": whole(0),
        "lora_rank": whole(0),
        "adapter_width": whole(0),
        "lora_alpha": optional(ABOVE_0),
    },
    "scripts.networks.MobileSAMSliceEncoder": {"memory": optional(ABOVE_0)},
    "scripts.networks.SAM2SliceEncoder": {"memory": optional(ABOVE_0)},
    "scripts.networks.DINOSliceEncoder": {"memory": optional(ABOVE_0)},
    "scripts.networks.TwoScaleEncoder": {"scale": Range("2 or 0.5", lambda value: value in (2, 0.5))},
    "scripts.networks.ResidualDecoder": {
        "channels": WIDTHS,
        "shortcut_kernel": Range("1 or 3", lambda value: _is_whole(value) and value in (1, 3)),
        "upsample": word("linear", "nearest"),
        "supervised_stages": whole(1),
        "head": word("linear", "convolutional"),
        "detail_channels": WIDTHS,
        "entrance_channels": optional(whole(1)),
        "embedding_dropout": SHARE,
    },
    "scripts.networks.DetailPyramid": {"in_channels": whole(1), "channels": WIDTHS},
    "ScaleIntensityRanged": _WINDOW,
    "ScaleIntensityRangePercentilesd": _PERCENTILES,
    "DataLoader": {"batch_size": whole(1), "num_workers": whole(0)},
    "torch.optim.AdamW": {"lr": ABOVE_0, "weight_decay": AT_LEAST_0},
}
RISING = (("lower", "upper"), ("a_min", "a_max"), ("b_min", "b_max"))


def _named_by(merged: Mapping[str, Any]) -> str:
    return "merge_labels makes, with the background," if merged else "labels names"


def contradictions(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(id, what is wrong with it) where settings that are fine by themselves cannot go together."""
    labels, merged = (given if isinstance(given := config.get(key), Mapping) else {} for key in ("labels", "merge_labels"))
    regions = config.get("regions") or {}
    try:
        classes = classes_of(labels, merged) if labels else {}
    except ValueError as error:
        yield "merge_labels", str(error).removeprefix("merge_labels ")
        return
    count, outputs = len(classes), len(regions or classes)
    if labels and _is_whole(given := config.get("num_classes")) and given != count:
        yield "num_classes", f"is {given} and {_named_by(merged)} {count} values; leave num_classes out"
    if labels and _is_whole(given := config.get("out_channels")) and given != outputs:
        yield "out_channels", f"is {given} and the preset needs {outputs} outputs; leave out_channels out"
    known = {str(value) for value in labels}
    ignored = config.get("ignore_label")
    if isinstance(ignored, Sequence) and (both := known & set(map(str, ignored))):
        yield "ignore_label", f"has {min(both)}, which labels names as a class; remove it from one of the two"
    if labels:
        yield from wrong_regions(classes, regions, config.get("region_values") or [])
        yield from _wrong_judgement(config, classes, outputs if regions else count - 1)
    if regions:
        yield from _wrong_loss(config.get("loss"))
    of_classes = f"{_named_by(merged)} {count} classes"
    of_outputs = f"there are {outputs} regions" if regions else of_classes
    numbered = (
        ("class_weights", outputs, of_outputs),
        ("temperature", outputs, of_outputs),
        ("crop_classes", count, of_classes),
    )
    for key, right, named in numbered:
        numbers = config.get(key)
        if not isinstance(numbers, list | tuple):
            continue
        if known and len(numbers) != right:
            yield key, f"has {len(numbers)} numbers and {named}; give one for each"
        if not any(numbers):
            yield key, "holds zeros alone; give a number above 0 to the classes that count"
    yield from _wrong_fold(config)
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
    intensity, modalities = config.get("intensity"), config.get("modalities")
    by_channel = isinstance(intensity, list | tuple)
    if by_channel and _is_whole(modalities) and len(intensity) != modalities:
        yield "intensity", f"has {len(intensity)} transforms and modalities is {modalities}; give one for all, or one for each"
    scaled = {f"intensity#{number}": one for number, one in enumerate(intensity)} if by_channel else {"intensity": intensity}
    for identifier, transform in scaled.items():
        if isinstance(transform, Mapping) and transform.get("_target_") in ARGUMENTS:
            for low, high in RISING:
                first, second = transform.get(low, 0), transform.get(high, 1)
                if _is_number(first) and _is_number(second) and first >= second:
                    yield f"{identifier}#{low}", f"is {first} and {high} is {second}; {low} must be below {high}"


def _wrong_fold(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    folds, fold = config.get("folds"), config.get("fold")
    if folds is None:
        if _is_whole(fold):
            yield "fold", f"is {fold} and folds is null; say of how many folds it is one, or leave fold out"
    elif _is_whole(folds):
        if fold is None:
            yield "folds", f"is {folds} and fold is null; say which one this run holds out, from 0 to {folds - 1}"
        elif _is_whole(fold) and fold >= folds:
            yield "fold", f"is {fold} and folds is {folds}; folds are counted from 0 to {folds - 1}"
        if config.get("val_fraction") == 0:
            yield "val_fraction", f"is 0, all cases serve training, and folds is {folds}; leave one of them out"


def _wrong_judgement(config: Mapping[str, Any], classes: Mapping[str, str], structures: int) -> Iterator[tuple[str, str]]:
    """Of how a mask is cleaned, and of what is said of its quality."""
    cleaning, calibration = config.get("cleaning"), config.get("calibration")
    if isinstance(cleaning, Mapping) and (wrong := wrong_cleaning(classes, cleaning)):
        yield "cleaning", wrong
    if cleaning and config.get("regions"):
        yield "cleaning", "is of structures that exclude each other, and regions overlap; set cleaning to {}"
    if config.get("flag_below") is not None and "calibration" in config and calibration is None:
        found = f"is {config['flag_below']}, and nobody knows how good the masks of a checkpoint are that was not calibrated"
        yield "flag_below", f"{found}; evaluate it and run: sam3d calibrate RUN, on the folder of its training run"
    if isinstance(calibration, Mapping) and len(calibration["structures"]) != structures:
        yield "calibration", f"is of {len(calibration['structures'])} structures and there are {structures}; calibrate again"


def _wrong_loss(loss: Any) -> Iterator[tuple[str, str]]:
    of_stage = loss.get("loss") if isinstance(loss, Mapping) else None
    if isinstance(of_stage, Mapping) and of_stage.get("_target_") == "scripts.losses.JointDiceCELoss":
        yield "loss#loss", "is JointDiceCELoss, of classes that exclude each other, and regions overlap; leave joint_dice out"
