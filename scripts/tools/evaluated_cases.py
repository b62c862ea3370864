"""An evaluation -> its cases, if they are new to the networks that it measured, and these are the networks at hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .run_bundle import shown

if TYPE_CHECKING:
    from ..evaluation.calibration.sampled_case import SampledCase


def evaluated_cases(evaluation: Path, checkpoints: Sequence[Path], again: str) -> "list[SampledCase]":
    """again: how to make what is missing. Raises BadParameter, or ValueError for a damaged file."""
    from ..evaluation.calibration.sampled_case import read_sampled_cases
    from ..files.checkpoint_file import weights_digest

    cases = read_sampled_cases(evaluation)
    if not cases:
        raise typer.BadParameter(f"{shown(evaluation)} holds no cases of an evaluation; {again}", param_hint="RUN")
    if any(case.part == "training" for case in cases):
        found = f"{shown(evaluation)} is of the cases that the network was trained on, which say nothing of others"
        raise typer.BadParameter(f"{found}; {again}", param_hint="RUN")
    if {_made_by(case) for case in cases} != {tuple(map(weights_digest, checkpoints))}:
        named = ", ".join(map(shown, checkpoints))
        found = f"{shown(evaluation)} is of other weights than {named}, or its masks are gone"
        raise typer.BadParameter(f"{found}; {again}", param_hint="RUN")
    return cases


def _made_by(case: "SampledCase") -> tuple[str, ...]:
    """The sha256 of the weights of each checkpoint, by the record beside the mask; none where that is not there."""
    record = Path(case.files["mask"].removesuffix(".nii.gz") + ".json")
    try:
        files = json.loads(record.read_text(encoding="utf-8"))["checkpoint"]
        return tuple(file["weights_sha256"] for file in (files if isinstance(files, list) else [files]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()
