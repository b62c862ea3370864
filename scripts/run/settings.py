"""Every setting of a run, classified by what it changes; what a run was told, and in what two runs differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from .command_line import read_command_line


class Changes(StrEnum):
    NETWORK = "what the network is and sees; fixed by training"
    MASK = "the mask, and may be chosen anew for the same network"
    TRAINING = "which weights training ends with"
    FIGURES = "the figures of an evaluation, not its masks"
    NOTHING = "neither weights nor masks: where things lie, how fast they go, in which order parts are called"


# Ids of the configs; a longer id overrules the one that it begins with. An id that is not here, of a user's own overlay, may
# change anything: it counts as NETWORK.
CLASSES: dict[str, Changes] = {
    **dict.fromkeys(("labels", "merge_labels", "classes", "regions", "region_values"), Changes.NETWORK),
    **dict.fromkeys(("num_classes", "out_channels", "modalities"), Changes.NETWORK),
    **dict.fromkeys(("axcodes", "spacing", "intensity", "spatial_size", "roi_depth"), Changes.NETWORK),
    **dict.fromkeys(("encoder_variant", "network_def", "deterministic_transforms"), Changes.NETWORK),
    **dict.fromkeys(
        ("inferer", "preprocessing", "postprocessing", "evaluator", "handlers", "amp", "encoder_seed"), Changes.MASK
    ),
    **dict.fromkeys(("before_argmax", "temperature", "tta", "cleaning", "resample_probabilities"), Changes.MASK),
    "validate#postprocessing": Changes.MASK,
    **dict.fromkeys(("seed", "val_fraction", "folds", "fold", "empty_labels", "cases"), Changes.TRAINING),
    **dict.fromkeys(("ignore_label", "ignore_index", "ignored_to_zero", "zero_to_ignored", "class_weights"), Changes.TRAINING),
    **dict.fromkeys(("label_sets", "structures"), Changes.TRAINING),
    **dict.fromkeys(("cached_views", "turned_views", "embedding_cache", "draw_embeddings", "join_pixels"), Changes.TRAINING),
    **dict.fromkeys(("crop_pos", "crop_neg", "crop_classes", "pad_depth", "random_crop", "augmentation"), Changes.TRAINING),
    **dict.fromkeys(("train", "validate"), Changes.TRAINING),
    **dict.fromkeys(("max_epochs", "epoch_length", "batch_size", "learning_rate", "weight_decay"), Changes.TRAINING),
    **dict.fromkeys(("warmup_fraction", "val_interval", "early_stopping_patience", "early_stopping"), Changes.TRAINING),
    **dict.fromkeys(("encoder_trainable", "trained_module", "network", "loss", "supervision_weights"), Changes.TRAINING),
    **dict.fromkeys(("optimizer", "lr_scheduler", "layer_decay", "checkpointing", "init_from"), Changes.TRAINING),
    # what of the encoder was trained is in the checkpoint, whatever the network at hand trains
    **dict.fromkeys(("trained_blocks", "network_def#encoder#encoder#trained_blocks"), Changes.TRAINING),
    **dict.fromkeys(("two_stage", "frozen_part", "first_stage_epochs", "second_stage_rate"), Changes.TRAINING),
    **dict.fromkeys(("ema", "ema_decay"), Changes.TRAINING),
    **dict.fromkeys(("transformer_weights",), Changes.TRAINING),
    **dict.fromkeys(("nsd_tolerance", "nsd_unit", "spacing_known", "metrics", "part"), Changes.FIGURES),
    **dict.fromkeys(("calibration", "flag_below", "sampled_cases", "quality"), Changes.FIGURES),
    **dict.fromkeys(("imports", "initialize", "run", "training", "evaluating", "inference", "caching"), Changes.NOTHING),
    **dict.fromkeys(
        ("merging", "exporting", "export", "finalize", "_meta_", "_needs_", "_chooses_"),
        Changes.NOTHING,
    ),
    **dict.fromkeys(("bundle_root", "models_dir", "dataset_dir", "input", "output_dir", "checkpoint"), Changes.NOTHING),
    **dict.fromkeys(
        ("encoder_weights", "cache_dir", "cache_limit", "num_workers", "device", "resume", "skip_bad"), Changes.NOTHING
    ),
    **dict.fromkeys(("progress_bar", "epoch_log", "report", "report_page"), Changes.NOTHING),
    **dict.fromkeys(("records", "segmentation", "settings", "tensorboard", "trackers", "tracking_uri"), Changes.NOTHING),
    **dict.fromkeys(("probabilities", "uncertainty", "maps"), Changes.NOTHING),  # beside the mask, which stays the same
    "dataset": Changes.MASK,
    "dataloader": Changes.NOTHING,
    **dict.fromkeys(("inferer#memory", "network_def#encoder#encoder#memory"), Changes.NOTHING),
    **dict.fromkeys(("train#dataloader#num_workers", "validate#dataloader"), Changes.NOTHING),
    **dict.fromkeys(("cases#remember", "cases#num_workers", "cases#skip_bad", "cases#report"), Changes.NOTHING),
    **dict.fromkeys(("embedding_cache#store", "embedding_cache#num_workers", "embedding_cache#device"), Changes.NOTHING),
}
CALIBRATED = ("temperature", "cleaning", "calibration")  # what `sam3d calibrate` adds to the settings in a checkpoint
RANDOM_ENCODER = "random"  # as `encoder_weights`: not a path but part of what the network is

Settings = dict[str, Any]  # of the configs, before anything is built from them, as JSON has them
_LEFT_OUT = object()


def changed_by(identifier: str) -> Changes:
    """What a setting changes, by the longest known id that `identifier` is or lies in: `inferer#memory`, `train#handlers#0`."""
    known = identifier
    while known not in CLASSES:
        if "#" not in known:
            return Changes.NETWORK
        known = known.rpartition("#")[0]
    return CLASSES[known]


def read_settings(arguments: Sequence[str]) -> Settings:
    """Reads the settings of a `python -m monai.bundle run`.

    Args:
        arguments: `sys.argv`.

    Returns:
        All settings that change something; {} of another program. A random encoder is kept too, so that a checkpoint says so,
        and where a config looks for the file of its encoder, so that nobody needs to repeat it. A path that a user gave is not.

    Example:
        >>> from scripts.run.settings import read_settings
        >>> from scripts.run.check_config import CONFIGS
        >>> words = ["monai.bundle", "run", "training", f"--config_file={CONFIGS}/train.json", "--roi_depth=16"]
        >>> settings = read_settings(words)
        >>> settings["roi_depth"], "num_workers" in settings
        (16, False)
    """
    line = read_command_line(arguments)
    config = {} if line is None else line.config
    settings = chosen(json.loads(json.dumps(config, default=str)), *(set(Changes) - {Changes.NOTHING}))
    weights = str(config.get("encoder_weights"))
    if weights == RANDOM_ENCODER or weights.startswith("$"):
        settings["encoder_weights"] = weights
    return settings


def chosen(settings: Mapping[str, Any], *kinds: Changes) -> Settings:
    """The settings that change one of these, without the parts of them that change something else."""
    parts = ((key, _without_others(value, key, kinds)) for key, value in settings.items())
    return {key: value for key, value in parts if value is not _LEFT_OUT}


def _without_others(value: Any, identifier: str, kinds: Sequence[Changes]) -> Any:
    inner = isinstance(value, Mapping) and any(known.startswith(f"{identifier}#") for known in CLASSES)
    if not inner:
        return value if changed_by(identifier) in kinds else _LEFT_OUT
    parts = {key: _without_others(child, f"{identifier}#{key}", kinds) for key, child in value.items()}
    return {key: part for key, part in parts.items() if part is not _LEFT_OUT} or _LEFT_OUT


def network_settings(settings: Mapping[str, Any]) -> Settings:
    """What a network must be used with as it was trained: a preset, with the network itself."""
    return chosen(settings, Changes.NETWORK)


def differences(before: Any, now: Any, identifier: str = "") -> Iterator[str]:
    """In words, each setting that differs, by its full id. Of two components of different classes only that they are."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        if before != now:
            yield f"{identifier} was {_shown(before)}, now it is {_shown(now)}"
        return
    if identifier == "regions" and before.keys() == now.keys() and [*before] != [*now]:
        yield f"{identifier} were in the order {', '.join(before)}, now they are in the order {', '.join(now)}"
    keys = sorted(before.keys() | now.keys())
    if before.get("_target_") != now.get("_target_"):
        keys = ["_target_"]
    for key in keys:
        inner = f"{identifier}#{key}" if identifier else key
        yield from differences(before.get(key, "not set"), now.get(key, "not set"), inner)


def _shown(value: Any, longest: int = 160) -> str:
    """Paths and names whole, long lists and components from their beginning."""
    text = str(value)
    return text if isinstance(value, str) or len(text) <= longest else f"{text[: longest - 3]}..."
