"""A dataset and a preset -> a trained network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import CONFIGS, OWN, network_configs
from . import options
from .run_bundle import run_bundle, say_next, shown


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

    The best network becomes OUTPUT/model.pt, the last state OUTPUT/last.pt. The preset is laid over everything else.
    """
    if cache_dir and not cached:
        raise typer.BadParameter("it has no effect without --cached", param_hint="--cache-dir")
    if init_from and not resume and not init_from.is_file():  # what is resumed has its weights
        raise typer.BadParameter(f"no file {shown(init_from)}", param_hint="--init-from")
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
    if run_bundle("training", configs, chosen, settings, dry_run, gpus):
        checkpoint = ["--checkpoint", output / "model.pt"]
        if encoder_weights not in (None, "random"):  # which the checkpoint knows
            checkpoint += ["--encoder-weights", Path(encoder_weights)]
        say_next(("evaluate", data, *checkpoint), ("segment", data / "dataset.json", *checkpoint, "--output", "masks"))


def _require_gpus(count: int) -> None:
    """Where there is none at all, the processes share the CPU."""
    import torch

    if 0 < (there := torch.cuda.device_count()) < count:
        raise typer.BadParameter(f"torch sees {there} on this machine, not {count}", param_hint="--gpus")
