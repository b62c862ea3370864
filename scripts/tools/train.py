"""A dataset and a preset -> a trained network."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import CONFIGS, OWN, network_configs
from . import options
from .run_bundle import line_of, run_bundle, say_next, shown
from .train_folds import train_folds

FOR_EVALUATING = ("device", "num_workers", "amp")  # what the checkpoint does not know, of --set


class Tracking(StrEnum):
    """Beside TensorBoard."""

    MLFLOW = "mlflow"


def train(
    data: options.Dataset,
    preset: options.Preset,
    network: options.Network = OWN,
    cached: Annotated[bool, typer.Option("--cached", help="Run the frozen encoder once: several times faster.")] = False,
    overlay: options.Overlays = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=options.path, metavar="FOLDER", help="Of the run.  [default: runs/PRESET]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(parser=options.path, metavar="FILE", help="Start from the weights of a trained network that fit."),
    ] = None,
    encoder_weights: options.EncoderWeights = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="In place of the preset's.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Omit cases that are refused, instead of not starting.")] = False,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            parser=options.cache_folder,
            metavar="FOLDER|memory",
            help="Of --cached, which training runs may share.  [default: embeddings in --output]",
        ),
    ] = None,
    tracking: Annotated[
        Tracking | None,
        typer.Option(help="Follow the run in MLflow too, beside TensorBoard; in a store in --output."),
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, metavar="N", help="Processes, one for each GPU.")] = 1,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="K", help="Train K networks, each of which holds out one K-th of the subjects.")
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Of --folds only this one, from 0: each on a machine of its own."),
    ] = None,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Train a network on the cases of a dataset.

    \b
        sam3d train DATA --preset mine --network detail --cached --output runs/mine
        sam3d train DATA --preset mine --network detail+no_encoder --cached --output runs/no_weights
        sam3d train DATA --preset mine --network detail --cached --output runs/mine --resume
        sam3d train DATA --preset mine --network detail --cached --output runs/more --init-from runs/mine/model.pt
        sam3d train DATA --preset mine --overlay two_stage --gpus 2 --set batch_size=4
        sam3d train DATA --preset mine --network detail --cached --output runs/mine --folds 5

    The best network becomes OUTPUT/model.pt, the last state OUTPUT/last.pt. The preset is laid over everything else.

    With --folds the networks become OUTPUT/fold_0/model.pt and so on. Each is evaluated on the cases that it held out, so that
    OUTPUT/metrics.csv has every case of the list. The same command goes on with --resume, or joins what --fold has trained.
    """
    if cache_dir and not cached:
        raise typer.BadParameter("it has no effect without --cached", param_hint="--cache-dir")
    if init_from and not resume and not init_from.is_file():  # what is resumed has its weights
        raise typer.BadParameter(f"no file {shown(init_from)}", param_hint="--init-from")
    if fold is not None and not (folds and fold < folds):
        found = "it goes with --folds" if folds is None else f"folds are counted from 0 to {folds - 1}"
        raise typer.BadParameter(found, param_hint="--fold")
    if gpus > 1 and not dry_run:
        _require_gpus(gpus)
    output = output or options.path(f"runs/{preset.stem}")
    configs = [
        CONFIGS / "train.json",
        *network_configs(network),
        *(overlay or ()),
        *([CONFIGS / "overlays" / "cached.yaml"] if cached else ()),
        *([CONFIGS / "overlays" / f"{tracking}.yaml"] if tracking else ()),
        *([CONFIGS / "overlays" / "multi_gpu.yaml"] if gpus > 1 else ()),
        preset,
    ]
    chosen = {
        "dataset_dir": data,
        "output_dir": output,
        "resume": resume or None,
        "init_from": init_from,
        "encoder_weights": encoder_weights,
        "max_epochs": max_epochs,
        "skip_bad": skip_bad or None,
        "cache_dir": cache_dir,
    }
    weights = []
    if encoder_weights not in (None, "random"):  # which the checkpoint knows
        weights = ["--encoder-weights", Path(encoder_weights)]
    if folds is not None:
        chosen |= {
            "folds": folds,
            "cases#remember": output / "checked.json",  # the cases are the same in all folds
            "cache_dir": cache_dir or (output / "embeddings" if cached else None),
        }
        known = dict(settings or ())
        train_folds(
            data,
            output,
            folds,
            fold,
            resume,
            skip_bad,
            lambda more: line_of("training", configs, {**chosen, **more}, settings, gpus),
            weights,
            [word for key in FOR_EVALUATING if key in known for word in ("--set", f"{key}={json.dumps(known[key])}")],
            dry_run,
        )
    elif run_bundle("training", configs, chosen, settings, dry_run, gpus):
        checkpoint = ["--checkpoint", output / "model.pt", *weights]
        say_next(("evaluate", data, *checkpoint), ("segment", data / "dataset.json", *checkpoint, "--output", "masks"))


def _require_gpus(count: int) -> None:
    """Where there is none at all, the processes share the CPU."""
    import torch

    if 0 < (there := torch.cuda.device_count()) < count:
        raise typer.BadParameter(f"torch sees {there} on this machine, not {count}", param_hint="--gpus")
