"""What a training run left beside its checkpoint -> learning curves, and how well its probabilities are calibrated."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.checkpoint_file import checkpoints_of
from .plots import Curves
from .sprites import data_uri

EVENTS = "events"
PLOTS = {"Training loss": "train_loss", "Validation Dice": ("val_mean_dice", "val_dice/")}  # and how their tags begin
PNG = b"\x89PNG"


def curves_of(checkpoint: str | Path | Sequence[str]) -> dict[str, Curves]:
    """`Training loss` and `Validation Dice` of the runs of these checkpoints, by what TensorBoard's files there hold.

    Where a run was resumed, the later value of an epoch counts. Curves of several runs begin with the name of each.
    """
    runs = list(dict.fromkeys(Path(path).absolute().parent for path in checkpoints_of(checkpoint)))
    plots: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]] = {name: {} for name in PLOTS}
    for run in runs:
        for tag, points in _scalars(run / EVENTS).items():
            plot = next((plot for plot, begins in PLOTS.items() if tag.startswith(begins)), None)
            if plot is not None:
                name = re.sub("^(val_dice/|train_|val_)", "", tag).replace("_", " ")
                plots[plot][name if len(runs) == 1 else f"{run.name}: {name}"] = (list(points), list(points.values()))
    return {name: curves for name, curves in plots.items() if curves}


def _scalars(folder: Path) -> dict[str, dict[float, float]]:
    """Tag -> step -> value, steps rising."""
    if not folder.is_dir():
        return {}
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it says which files it reads
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # takes a while to import

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 1, "histograms": 1, "tensors": 1})
    events.Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        points = {float(event.step): float(event.value) for event in events.Scalars(tag)}
        found[tag] = dict(sorted(points.items()))
    return found


def calibration_of(folders: Sequence[Path]) -> dict[str, Any] | None:
    """`picture`, a data URI or None, and `numbers` by name, of the first folder that has calibration.png or .json."""
    for folder in folders:
        picture, numbers = folder / "calibration.png", folder / "calibration.json"
        content = picture.read_bytes() if picture.is_file() else b""
        known = _numbers(json.loads(numbers.read_text(encoding="utf-8"))) if numbers.is_file() else {}
        if content.startswith(PNG) or known:
            return {"picture": data_uri(content, "png") if content.startswith(PNG) else None, "numbers": known}
    return None


def _numbers(node: Any, name: str = "", deepest: int = 4) -> dict[str, float | str]:
    """The numbers and words of nested dictionaries, under names such as `temperature` and `liver spearman`; no long lists."""
    if isinstance(node, list) and len(node) == 1:
        (node,) = node
    if isinstance(node, bool | int | float | str) and name:
        return {name: node}
    found: dict[str, float | str] = {}
    if isinstance(node, dict) and deepest:
        for key, child in node.items():
            found |= _numbers(child, f"{name} {key}".strip(), deepest - 1)
    return found
