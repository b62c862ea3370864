"""Scans and a checkpoint -> masks."""

from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import CONFIGS, OWN, network_configs
from . import options
from .checkpoint_config import (
    checkpoint_configs,
    doubt_reversed_slices,
    read_abouts,
    require_calibration,
    require_one_calibration,
)
from .run_bundle import run_bundle, shown


def segment(
    scans: Annotated[
        Path,
        typer.Argument(
            parser=options.existing, metavar="SCANS", help="An image, a DICOM folder, a folder of images, or a dataset.json."
        ),
    ],
    checkpoint: options.Checkpoints,
    output: Annotated[Path, typer.Option(parser=options.path, metavar="FOLDER", help="Of the masks.")] = Path("masks"),
    encoder_weights: options.EncoderWeights = None,
    preset: options.OtherPreset = None,
    network: options.OtherNetwork = None,
    overlay: options.Overlays = None,
    whole: Annotated[bool, typer.Option("--whole", help="Decode all slices at once, not in windows: another mask.")] = False,
    memory: Annotated[
        float | None, typer.Option(metavar="GB", help="What the decoder may take.  [default: half of what is free]")
    ] = None,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Write a DICOM Segmentation object too for each DICOM series.")
    ] = False,
    tta: options.Tta = None,
    flag_below: options.FlagBelow = None,
    probabilities: options.Probabilities = False,
    uncertainty: options.Uncertainty = False,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Segment images with a trained network.

    \b
        sam3d segment SCANS --checkpoint runs/mine/model.pt --output masks
        sam3d segment SCANS/a.nii.gz --checkpoint runs/mine/model.pt --output masks --memory 4
        sam3d segment SCANS --checkpoint runs/a/model.pt --checkpoint runs/b/model.pt --output masks

    The mask of SCANS/a.nii.gz is OUTPUT/a_seg.nii.gz; OUTPUT/report.json says what became of each image. The same command
    again makes only the masks that are missing. Of a checkpoint that was calibrated (sam3d calibrate), OUTPUT/quality.csv says
    how good each is likely to be. What the checkpoint says of its preset and network is written to OUTPUT/preset.json.
    """
    abouts = read_abouts(checkpoint)
    require_one_calibration(checkpoint, abouts)
    require_calibration(flag_below, abouts[0], preset, overlay, settings)
    doubt_reversed_slices(checkpoint, abouts, tta)
    with checkpoint_configs(checkpoint[0], output, preset, network, ("spacing_known",), abouts[0]) as known:
        configs = [
            CONFIGS / "inference.json",
            *known,
            *network_configs(network or OWN),
            *(overlay or ()),
            *([CONFIGS / "overlays" / "dicom_seg.yaml"] if dicom_seg else ()),
            *([preset] if preset else ()),
        ]
        chosen = {
            "input": scans,
            "checkpoint": options.one_or_all(checkpoint),
            "output_dir": output,
            "encoder_weights": encoder_weights,
            "tta": tta,
            "flag_below": flag_below,
            "probabilities": probabilities or None,
            "uncertainty": uncertainty or None,
            "inferer#mode": "whole" if whole else None,
            "inferer#memory": memory,
        }
        if run_bundle("inference", configs, chosen, settings, dry_run):
            print(f"\nmasks: {shown(output)}\nwhat became of each image: {shown(output / 'report.json')}")
            if (page := output / "report.html").is_file():
                print(f"report: {shown(page)}")
            if (quality := output / "quality.csv").is_file():  # of a calibrated checkpoint
                print(f"how good each mask is likely to be: {shown(quality)}")
