"""Checkpoints -> what they say, and a config file of what their network must be used with."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from ..run.ensemble_file import ensemble_file, read_ensemble
from .run_bundle import shown

DRAWN = ("augmentation", "draw_embeddings", "random_crop", "train", "cached_views")  # what makes a training run's crops


def read_abouts(checkpoints: Sequence[Path]) -> list[dict[str, Any]]:
    """What each checkpoint says of its training run, {} where it says nothing; each is read whole, once.

    Of all folds of a run together, what was learnt of their ensemble takes the place of what was learnt of each.
    """
    from ..files.checkpoint_file import read_about

    abouts = [read_about(path) or {} for path in checkpoints]
    path = ensemble_file(checkpoints)
    if path is None:
        return abouts
    learnt = read_ensemble(path, checkpoints)
    if learnt is None:
        found = f"in doubt: {shown(path)} is of other weights than these folds and is not used"
        typer.echo(f"{found}; evaluate and calibrate their ensemble again, or remove it", err=True)
    return [{**about, **(learnt or {})} for about in abouts]


@contextmanager
def checkpoint_configs(
    checkpoint: Path,
    folder: Path,
    preset: Path | None,
    network: str | None,
    also: Iterable[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Iterator[list[Path]]:
    """`folder`/preset.json for a run; none if the checkpoint says nothing, or more than data may say.

    A run that is refused before it has changed the report leaves the folder as it was.

    preset, network: what the user named. Without a preset of either, nobody knows what the network needs, and BadParameter is
        raised; so it is for a network beside the checkpoint's own.
    also: further settings of the training run to take over. about: what the checkpoint says, where it was read before.
    """
    from ..data.masks.case_report import is_report
    from ..files.atomic_write import write_json
    from ..files.own_file import refuse_foreign
    from ..run.foreign_code import foreign_code
    from ..run.trained_settings import trained_settings

    about = read_abouts([checkpoint])[0] if about is None else about
    settings = trained_settings(about, also)
    if encoder_weights := _packed_encoder(checkpoint):
        settings["encoder_weights"] = str(encoder_weights)
    foreign = foreign_code(settings)
    if settings and not foreign:
        if network is not None:
            raise typer.BadParameter(f"{checkpoint} knows its network; leave --network out", param_hint="--network")
        path, report = folder / "preset.json", folder / "report.json"
        refuse_foreign(report, is_report)  # what the run would refuse, before anything is written
        refuse_foreign(path, _is_preset_of_a_checkpoint)
        with _as_before_unless_changed(report, path):
            write_json(path, settings)
            yield [path]
        return
    if preset is None:
        found = (
            f"would run {foreign}, which is no part of this bundle"
            if foreign
            else "does not say which preset it was trained with"
        )
        remedy = "name that preset by --preset, and by --network the network if it is not sam3d"
        raise typer.BadParameter(f"{checkpoint} {found}; {remedy}", param_hint="--checkpoint")
    yield []


def require_one_calibration(checkpoints: Sequence[Path], abouts: Sequence[Mapping[str, Any]]) -> None:
    """Raises BadParameter for an ensemble of networks that were calibrated in different ways, or of which only some were."""
    from ..run.settings import CALIBRATED

    first, *others = ({key: about.get(key) for key in CALIBRATED} for about in abouts)
    for path, other in zip(checkpoints[1:], others, strict=True):
        if different := [key for key in CALIBRATED if other[key] != first[key]]:
            found = f"{path} has another {' and '.join(different)} than {checkpoints[0]}, and an ensemble has one"
            remedy = "calibrate the folder of their folds, or name one checkpoint"
            raise typer.BadParameter(f"{found}; {remedy}", param_hint="--checkpoint")


def require_calibration(flag_below: float | None, about: Mapping[str, Any], *others: object) -> None:
    """Raises BadParameter for --flag-below of a checkpoint that was not calibrated; others: files and settings that may be."""
    if flag_below is not None and about.get("calibration") is None and not any(others):
        found = "nobody knows how good the masks of a checkpoint are that was not calibrated"
        remedy = "evaluate it and run: sam3d calibrate RUN, on the folder of its training run"
        raise typer.BadParameter(f"{found}; {remedy}", param_hint="--flag-below")


def doubt_reversed_slices(checkpoints: Sequence[Path], abouts: Sequence[Mapping[str, Any]], tta: str | None) -> None:
    """Says which networks would see what nothing in their training showed them: on hippocampus that cost 0.064 of the Dice."""
    if tta not in ("depth", "full"):
        return
    for path, about in zip(checkpoints, abouts, strict=True):
        if about and not re.search("Flip|flip_prob", json.dumps([about.get(key) for key in DRAWN])):
            found = f"in doubt: --tta {tta} shows slices in reverse order, and {path} was trained without them (no RandFlipd)"
            typer.echo(f"{found}; expect worse masks, or take --tta plane", err=True)


def _packed_encoder(checkpoint: Path) -> Path | None:
    """That lies beside the network of a package."""
    from ..packages.package_files import encoder_of, files_of, package_of

    folder = package_of(checkpoint)
    name = encoder_of(files_of(folder)) if folder else None
    return folder / name if folder and name else None


@contextmanager
def _as_before_unless_changed(report: Path, path: Path) -> Iterator[None]:
    """Where an error leaves this context with the same report as before, `path` and its folders are put back."""
    missing = [folder for folder in path.parents if not folder.exists()]
    content, reported = (file.read_bytes() if file.exists() else None for file in (path, report))
    try:
        yield
    except BaseException:
        if (report.read_bytes() if report.exists() else None) == reported:
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
            for folder in missing:
                with suppress(OSError):  # something lies in it
                    folder.rmdir()
        raise


def _is_preset_of_a_checkpoint(path: Path) -> bool:
    """Has the whole network, which a preset that a person wrote leaves to train.json."""
    return "_target_" in json.loads(path.read_text(encoding="utf-8"))["network_def"]
