"""The bundle run in progress -> its configuration, all files merged and options applied."""

import inspect
import json
from typing import Any

from monai.bundle import ConfigWorkflow

# What a network was trained for: with another of these its masks mean nothing.
PRESET = (
    "labels",
    "modalities",
    "axcodes",
    "spacing",
    "intensity",
    "spatial_size",
    "roi_depth",
    "encoder_variant",
    "network_def",
)
# Where things lie, how fast they go, in which order the parts are called: nothing of that changes a result.
CIRCUMSTANCES = {
    *("imports", "initialize", "run", "training", "evaluating", "inference", "caching", "finalize", "progress_bar"),
    *("bundle_root", "dataset_dir", "input", "output_dir", "checkpoint", "encoder_weights", "cache_dir", "cache_limit"),
    *("num_workers", "device", "resume", "skip_bad", "_meta_"),
}


def running_workflow() -> ConfigWorkflow | None:
    """The workflow on whose behalf this is called; None outside of `monai.bundle run`.

    MONAI hands a component what its config refers to, never the config as a whole; but the workflow is on the stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(caller := frame.f_locals.get("self"), ConfigWorkflow):
            return caller
        frame = frame.f_back
    return None


def running_settings() -> dict[str, Any]:
    """All that decides what this run computes, as JSON has it, before anything is built from it. Empty outside of a run."""
    workflow = running_workflow()
    config = {} if workflow is None else workflow.parser.get()
    kept = CIRCUMSTANCES - {key for key in ("encoder_weights",) if config.get(key) == "random"}
    return json.loads(json.dumps({key: value for key, value in config.items() if key not in kept}, default=str))


def running_preset() -> dict[str, Any]:
    """The part of the settings that a network must be used with as it was trained."""
    settings = running_settings()
    return {key: settings[key] for key in PRESET if key in settings}
