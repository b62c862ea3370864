"""The output folder of a training run -> free for a new one, or the state from which an interrupted one goes on."""

import math
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from ..files.checkpoint_file import read_about, read_checkpoint
from ..run.settings import CALIBRATED, Changes, chosen, differences

BEST, LAST = "model.pt", "last.pt"
FILES, FOLDERS = (BEST, LAST, "report.json", "checked.json"), ("events",)
COUNTERS = ("epoch", "epoch_length", "max_epochs", "best_metric_epoch")


def check_run_folder(output_dir: str | Path, resume: bool, settings: Mapping[str, Any] = {}) -> None:
    """The first step of a training run, or of caching for one, before anything is written.

    Args:
        output_dir: of the run; it need not be there.
        resume: whether the run goes on from `last.pt`.
        settings: of this run.

    Raises:
        FileExistsError: where another run, or somebody else, keeps what this one would overwrite.
        FileNotFoundError: if there is nothing to resume.
        ValueError: if what would be resumed is damaged, impossible, complete or of other settings.

    Example:
        >>> import tempfile
        >>> from scripts.handlers import check_run_folder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_run_folder(folder, resume=False)
    """
    folder = Path(output_dir)
    for names, kind, is_kind in ((FILES, "file", Path.is_file), (FOLDERS, "folder", Path.is_dir)):
        for path in (folder / name for name in names):
            if os.path.lexists(path) and not is_kind(path):
                raise FileExistsError(f"{path} must be a {kind}, which a training run writes; move away what is there")
    if resume:
        read_state(folder, settings)
    elif (folder / LAST).exists():
        raise FileExistsError(
            f"{folder} already holds a training run ({LAST}); go on with it by --resume, or choose another output folder, or "
            "remove it"
        )
    elif (folder / BEST).exists():
        raise FileExistsError(
            f"{folder / BEST} is there and no {LAST} beside it, so it belongs to no run that this one could go on with; choose "
            "another output folder, or move it away"
        )


def read_state(folder: Path, settings: Mapping[str, Any], objects: Collection[str] = ()) -> dict[str, Any]:
    """What `last.pt` holds, once nothing in it is damaged, missing, not a number, or impossible.

    settings: of this run; those of network, mask and training must be the same. objects: whose states must be in it.
    Raises FileNotFoundError, or ValueError that names the file and the last good one.
    """
    path = folder / LAST
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: no {path}; start without --resume, or give the right output folder")
    try:
        about, state = read_about(path), read_checkpoint(path)
    except ValueError as error:
        refuse(path, str(error))
    if about is None:
        refuse(path, f"{path} was not written by a training run of this bundle, or was saved anew by another program")
    needed = [*objects, *COUNTERS, "complete", "best_metric", "cases"]
    if missing := [name for name in needed if name not in state]:
        found = f"it lacks {', '.join(missing)}"
        refuse(path, f"{path} is not the state of a training run, or that of another version of the bundle: {found}")
    if wrong := next(_not_finite(state), None):
        refuse(path, f"{path}: {wrong} is NaN or infinite")
    if wrong := _impossible(state):
        refuse(path, f"{path} holds what cannot be: {wrong}")
    require_the_same(about, settings, path)
    if state["complete"]:
        refuse_complete(path, state)
    if (folder / BEST).exists():
        best = read_about(folder / BEST)
        if best is None:
            raise ValueError(f"{folder / BEST} was not written by this bundle and would be overwritten; move it away")
        require_the_same(best, settings, folder / BEST)
    return state


def refuse(path: Path, problem: str) -> NoReturn:
    """With what is left, and what can be done."""
    best = path.with_name(BEST)
    try:
        left = f"{best} still holds the best weights so far; " if read_about(best) is not None else ""
    except (OSError, ValueError):
        left = ""
    raise ValueError(f"{problem}. {left}a new training run needs another output folder")


def refuse_complete(path: Path, state: Mapping[str, Any]) -> NoReturn:
    raise ValueError(
        f"{path} belongs to a training run that is complete ({state['epoch']} epochs): nothing to resume; to train "
        f"longer, start another output folder from its weights by --init-from {path}"
    )


def _not_finite(thing: Any, name: str = "") -> Iterator[str]:
    """The names of tensors with NaN or infinite values, and of single numbers that are NaN."""
    if isinstance(thing, Mapping | list | tuple):
        for key, inner in thing.items() if isinstance(thing, Mapping) else enumerate(thing):
            yield from _not_finite(inner, f"{name}#{key}" if name else str(key))
    elif isinstance(thing, torch.Tensor):
        if not torch.isfinite(thing).all():
            yield name
    elif isinstance(thing, float) and math.isnan(thing):  # the best score of some schedulers begins as infinite
        yield name


def _impossible(state: Mapping[str, Any]) -> str | None:
    for name in COUNTERS:
        if type(state[name]) is not int:
            return f"{name} is {state[name]!r}, no whole number"
    epoch, epochs, best = state["epoch"], state["max_epochs"], state["best_metric_epoch"]
    if not 1 <= epoch <= epochs:
        return f"it is of epoch {epoch} of {epochs}"
    if state["epoch_length"] < 1:
        return f"an epoch has {state['epoch_length']} iterations"
    if best != -1 and not 1 <= best <= epoch:
        return f"the best network is of epoch {best}, after {epoch} epochs"
    if type(state["best_metric"]) is not float or not math.isfinite(state["best_metric"]):
        return f"best_metric is {state['best_metric']!r}"
    if type(state["complete"]) is not bool or not isinstance(state["cases"], dict):
        return "complete is neither true nor false, or cases is no dictionary"
    return None


def require_the_same(saved: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Raises ValueError if the run that wrote `path` had other settings of network, mask or training."""
    kinds = (Changes.NETWORK, Changes.MASK, Changes.TRAINING)
    trained = {key: value for key, value in saved.items() if key not in CALIBRATED}  # added after the training run
    different = differences(chosen(trained, *kinds), chosen(now, *kinds)) if saved and now else ()
    if words := "; ".join(different):
        raise ValueError(
            f"{path} belongs to a training run with other settings: {words}; resume with the same ones, or start anew in "
            f"another output folder, from these weights by --init-from {path}"
        )
