"""What was learnt of an ensemble of folds: OUTPUT/ensemble.json, beside folds.json, which holds for these networks alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ..run.fold_folders import run_of_folds
from ..run.settings import CALIBRATED
from .run_bundle import shown

NAME, MEMBERS = "ensemble.json", "members"
EVALUATED = "evaluated_sha256"  # in `calibration`: of the checkpoint as it was evaluated, before it was written into it


def read_abouts(checkpoints: Sequence[Path]) -> list[dict[str, Any]]:
    """What each checkpoint says of its training run, {} where it says nothing; each is read whole, once.

    Of all folds of a run together, what was learnt of their ensemble takes the place of what was learnt of each.
    """
    from ..files.checkpoint_file import read_about

    abouts = [read_about(path) or {} for path in checkpoints]
    run = run_of_folds(checkpoints)
    if run is None or not (run / NAME).is_file():
        return abouts
    learnt = json.loads((run / NAME).read_text(encoding="utf-8"))
    if not is_of(learnt[MEMBERS], checkpoints, abouts):
        found = f"in doubt: {shown(run / NAME)} is of other weights than these folds and is not used"
        typer.echo(f"{found}; evaluate and calibrate their ensemble again, or remove it", err=True)
        return abouts
    return [{**about, **{key: learnt[key] for key in CALIBRATED}} for about in abouts]


def write_ensemble(
    path: Path, checkpoints: Sequence[Path], abouts: Sequence[Mapping[str, Any]], stamp: Mapping[str, Any]
) -> None:
    """stamp: what a single checkpoint would be given."""
    from ..files.atomic_write import write_json

    members = [sorted(names_of(*member)) for member in zip(checkpoints, abouts, strict=True)]
    write_json(path, {MEMBERS: members, **stamp})


def is_ensemble_file(path: Path) -> bool:
    return json.loads(path.read_text(encoding="utf-8")).keys() == {MEMBERS, *CALIBRATED}


def is_of(members: Sequence[Sequence[str]], checkpoints: Sequence[Path], abouts: Sequence[Mapping[str, Any]]) -> bool:
    """members: of each any sha256 that it has or had."""
    known = [names_of(*member) for member in zip(checkpoints, abouts, strict=True)]
    return len(members) == len(known) and all(names & {*of_one} for names, of_one in zip(known, members, strict=True))


def names_of(checkpoint: Path, about: Mapping[str, Any]) -> set[str]:
    """The sha256 of the file, and that from before what was learnt of it was written into it."""
    from ..files.file_digest import file_digest

    before = (about.get("calibration") or {}).get(EVALUATED)
    return {file_digest(checkpoint), *([before] if before else [])}
