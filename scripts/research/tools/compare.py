"""`sam3d compare`: networks and one budget -> one table."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ...tools import options

DECIDED = {
    "max_epochs",
    "val_interval",
    "output_dir",
    "checkpoint",
    "resume",
    "epoch_length",
    "bundle_root",
    "seed",
    "dataset_dir",
    "folds",
    "fold",
}


def networks(text: str) -> str:
    for name in text.split(","):
        options.network(name)
    return text


def compare(
    data: options.Dataset,
    preset: options.Preset,
    networks: Annotated[
        str,
        typer.Option(
            parser=options.refusing(networks),
            metavar="A,B,...",
            help="Files of configs/**/networks, each with +NAME for an overlay on top. Differences refer to A.",
        ),
    ],
    minutes: Annotated[float | None, typer.Option(metavar="M", help="Of training, for all; with --folds of each fold.")] = None,
    max_epochs: Annotated[int | None, typer.Option(metavar="N", help="Epochs for all, in place of --minutes.")] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Train each network K times, each time without a K-th of the subjects."),
    ] = None,
    pace: Annotated[
        Path | None,
        typer.Option(
            parser=options.file,
            metavar="CSV",
            help="comparison.csv of another machine: --minutes are as many steps as it makes in them.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(parser=options.path, metavar="FOLDER", help="Of tables and runs.")] = Path(
        "runs/comparison"
    ),
    seed: Annotated[int, typer.Option(metavar="N")] = 0,
    cache_dir: Annotated[
        Path | None,
        typer.Option(parser=options.path, metavar="FOLDER", help="Of +cached, shared.  [default: embeddings in --output]"),
    ] = None,
    encoder_weights: options.EncoderWeights = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(parser=options.file, metavar="FILE", help="Laid over everything else; may be repeated."),
    ] = None,
    settings: options.Settings = None,
) -> None:
    """Train and evaluate networks under one budget, and compare them.

    \b
        sam3d compare DATA --preset mine --networks sam3d+cached,unet,unet+dca --minutes 10
        sam3d compare DATA --preset mine --networks sam3d,unet --max-epochs 20 --set device=cuda
        sam3d compare DATA --preset mine --networks sam3d+cached,unet --minutes 10 --folds 5

    Data, split, loss, schedule and seed are the same for all. Table and plot are written anew after each network. The same
    command goes on with what was interrupted, or tries again what failed; a longer list adds to the table. Exit code 1 if a
    network failed. With --folds the folds are the same for all too, and the table has every training case, measured by the
    network that was trained without it.
    """
    from ...data.cases.folds_file import write_folds
    from ...files.folder_lock import lock_folder
    from ...run.fold_folders import FOLDS_FILE
    from ..comparison import Budget, ComparedNetwork, Setting, compare_networks

    chosen = dict(settings or ())
    if taken := sorted(DECIDED & chosen.keys()):
        raise typer.BadParameter(f"{', '.join(taken)}: this command decides it", param_hint="--set")
    if encoder_weights:
        chosen["encoder_weights"] = encoder_weights
    decided = {"dataset_dir": data, "seed": seed, **({} if folds is None else {"folds": folds})}
    try:
        setting = Setting(
            output_dir=output,
            preset=preset,
            budget=Budget(max_epochs, minutes, pace),
            options={**decided, **{key: _from_any_folder(value) for key, value in chosen.items()}},
            last_configs=tuple(config or ()),
            shared={"remember": output / "checked.json", "cache_dir": cache_dir or output / "embeddings"},
        )
        compared = [ComparedNetwork(name, setting) for name in networks.split(",")]
        if len({network.folder for network in compared}) < len(compared):
            raise ValueError(f"two networks of {networks} would share a folder; name each of them once")
        for network in compared:
            network.require_the_same_request()
        if nobodys := [key for key in chosen if not any(network.has(key) for network in compared)]:
            raise ValueError(f"--set {', '.join(nobodys)}: none of {networks} has this option")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    lock_folder(output)
    if folds is not None:
        write_folds(output / FOLDS_FILE, data, folds, seed, compared[0].labels())
    rows = compare_networks(compared, setting, f"sam3d {shlex.join(sys.argv[1:])}")
    if any(row.failure for row in rows):
        raise typer.Exit(1)


def _from_any_folder(value: Any) -> Any:
    """The runs start in the bundle's folder."""
    return options.path(value) if isinstance(value, str) and Path(value).is_file() else value
