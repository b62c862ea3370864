"""A dataset and a checkpoint -> metrics of its masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..packages.package_files import package_of
from ..run.config_files import CONFIGS, OWN, network_configs
from ..run.fold_folders import ENSEMBLE, run_of_folds
from . import options
from .checkpoint_config import (
    checkpoint_configs,
    doubt_reversed_slices,
    read_abouts,
    require_calibration,
    require_one_calibration,
)
from .run_bundle import run_bundle, shown

MEASURED_WITH = (
    "nsd_tolerance",
    "nsd_unit",
    "spacing_known",
    "empty_labels",
    "ignore_label",
    "val_fraction",
    "seed",
)  # the last two, and a fold: the split
FOLD = ("folds", "fold")


def evaluate(
    data: options.Dataset,
    checkpoint: options.Checkpoints,
    part: Annotated[Literal["validation", "test", "training"], typer.Option(help="Which cases.")] = "validation",
    output: Annotated[
        Path | None,
        typer.Option(
            parser=options.path,
            metavar="FOLDER",
            help="[default: evaluation beside a checkpoint, ensemble in a folder of folds]",
        ),
    ] = None,
    encoder_weights: options.EncoderWeights = None,
    preset: options.OtherPreset = None,
    network: options.OtherNetwork = None,
    overlay: options.Overlays = None,
    tta: options.Tta = None,
    flag_below: options.FlagBelow = None,
    probabilities: options.Probabilities = False,
    uncertainty: options.Uncertainty = False,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Segment the labelled cases of a dataset and measure the masks.

    \b
        sam3d evaluate DATA --checkpoint runs/mine/model.pt
        sam3d evaluate DATA --checkpoint runs/mine/model.pt --part test --output runs/mine/test
        sam3d evaluate DATA --checkpoint runs/a/model.pt --checkpoint runs/b/model.pt --output runs/both

    OUTPUT/metrics.csv holds Dice, distances, volumes and detection of each case and class, OUTPUT/metrics.json their means with
    intervals, OUTPUT/confusion.csv what masks call each structure, OUTPUT/overlays.png a picture of some cases. What the
    checkpoint says of its preset and network is written to OUTPUT/preset.json.
    """
    run = run_of_folds(checkpoint)
    if output is None and run is None and len(checkpoint) > 1:
        raise typer.BadParameter("several checkpoints have no folder of their own; name one", param_hint="--output")
    if output is None and package_of(checkpoint[0]):
        raise typer.BadParameter("a package stays as it is; name a folder outside it", param_hint="--output")
    output = output or (run / ENSEMBLE if run else checkpoint[0].parent / "evaluation")
    abouts = read_abouts(checkpoint)
    require_one_calibration(checkpoint, abouts)
    require_calibration(flag_below, abouts[0], preset, overlay, settings)
    doubt_reversed_slices(checkpoint, abouts, tta)
    if part == "training":
        known = "in doubt: networks know the cases that they were trained on"
        typer.echo(f"{known}; these figures say nothing of new cases", err=True)
    also = (*MEASURED_WITH, *_common_fold(abouts))
    with checkpoint_configs(checkpoint[0], output, preset, network, also, abouts[0]) as known:
        configs = [
            CONFIGS / "train.json",
            CONFIGS / "evaluate.json",
            *known,
            *network_configs(network or OWN),
            *(overlay or ()),
            *([preset] if preset else ()),
        ]
        chosen = {
            "dataset_dir": data,
            "checkpoint": options.one_or_all(checkpoint),
            "output_dir": output,
            "part": part,
            "encoder_weights": encoder_weights,
            "tta": tta,
            "flag_below": flag_below,
            "probabilities": probabilities or None,
            "uncertainty": uncertainty or None,
        }
        if run_bundle("evaluating", configs, chosen, settings, dry_run):
            print(f"\nmeans: {shown(output / 'metrics.json')}\nof each case and class: {shown(output / 'metrics.csv')}")
            for kind, name in (("picture", "overlays.png"), ("report", "report.html")):
                if (file := output / name).is_file():  # no picture where no case shows any class
                    print(f"{kind}: {shown(file)}")
            if (quality := output / "quality.csv").is_file():  # of a calibrated checkpoint
                print(f"how good each mask was likely to be: {shown(quality)}")


def _common_fold(abouts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """None for networks of several folds: together they are measured on a list that no fold holds."""
    return FOLD if len({tuple(about.get(key) for key in FOLD) for about in abouts}) == 1 else ()
