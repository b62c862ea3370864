"""What was learnt of an ensemble: ensemble.json, beside folds.json or the networks of a package. It holds for them alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.atomic_write import write_json
from ..files.checkpoint_file import weights_digest
from .fold_folders import run_of_folds
from .settings import CALIBRATED

NAME, MEMBERS = "ensemble.json", "members"


def write_ensemble(path: Path, checkpoints: Sequence[Path], learnt: Mapping[str, Any]) -> None:
    """learnt: what a single checkpoint would be given."""
    write_json(path, {MEMBERS: _members(checkpoints), **learnt})


def ensemble_file(checkpoints: Sequence[Path]) -> Path | None:
    """Of all folds of a run, or of the networks of a package; None of others, and where there is none."""
    path = (run_of_folds(checkpoints) or checkpoints[0].parent) / NAME
    return path if len(checkpoints) > 1 and path.is_file() else None


def read_ensemble(path: Path, checkpoints: Sequence[Path]) -> dict[str, Any] | None:
    """What was learnt of these together; None if it was learnt of other weights. Raises ValueError for another file."""
    content = _content(path)
    if content is None:
        remedy = "evaluate and calibrate the ensemble again, or remove it"
        raise ValueError(f"{path} is not what `sam3d calibrate` writes of an ensemble; {remedy}")
    if content[MEMBERS] != _members(checkpoints):
        return None
    return {key: content[key] for key in CALIBRATED}


def is_ensemble_file(path: Path) -> bool:
    return _content(path) is not None


def _content(path: Path) -> dict[str, Any] | None:
    """None of another file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.keys() == {MEMBERS, *CALIBRATED} else None


def _members(checkpoints: Sequence[Path]) -> list[str]:
    return [weights_digest(checkpoint) for checkpoint in checkpoints]
