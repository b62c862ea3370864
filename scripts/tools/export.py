"""A checkpoint -> its network in a file for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..run.config_files import CONFIGS, OWN, network_configs
from . import options
from .checkpoint_config import checkpoint_configs, read_abouts, require_one_calibration
from .run_bundle import run_bundle, shown

CHECKED = "$monai.data.Dataset(@cases.cases, @preprocessing)"  # those of --input


def export(
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            parser=options.checkpoints,
            callback=options.all_checkpoints,
            metavar="CHECKPOINT",
            help="model.pt of a training run. Several are averaged, as is the folder of --folds.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            parser=options.path, metavar="FILE", help="Ends in .onnx, .pt2 or .ts by its format; of --triton a model's folder."
        ),
    ],
    format: Annotated[Literal["pt2", "onnx", "aoti", "torchscript"], typer.Option("--format", help="Of the file.")] = "onnx",
    part: Annotated[Literal["network", "encoder", "decoder"], typer.Option("--part", help="What is exported.")] = "network",
    plane: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="H W", help="Pixels of a slice, which are fixed.  [default: spatial_size of the preset]"),
    ] = None,
    precision: Annotated[
        Literal["float32", "float16", "int8"], typer.Option(help="Of ONNX: a lower one gives other masks; how far is printed.")
    ] = "float32",
    check: Annotated[
        Path | None,
        typer.Option(parser=options.existing, metavar="SCANS", help="Compare masks on these images too, beside a phantom."),
    ] = None,
    triton: Annotated[
        bool, typer.Option("--triton", help="Of ONNX: write OUTPUT/config.pbtxt and OUTPUT/1/model.onnx for Triton.")
    ] = False,
    encoder_weights: options.EncoderWeights = None,
    preset: options.OtherPreset = None,
    network: options.OtherNetwork = None,
    overlay: options.Overlays = None,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Write a trained network for other programs, and check that it gives the same masks.

    \b
        sam3d export runs/mine/model.pt --output mine.onnx
        sam3d export runs/mine/model.pt --format pt2 --output mine.pt2 --check SCANS
        sam3d export runs/mine --part encoder --output encoder.onnx

    The plane is fixed, the number of slices is free. The file holds what is needed to prepare its input: axes, spacing,
    intensities, labels. Before it gets its name, its logits are compared with the network's at five depths, and its masks on a
    phantom and on SCANS; a file that differs is not kept. What the checkpoint says of its preset is written to
    mine_export/preset.json.
    """
    abouts = read_abouts(checkpoint)
    require_one_calibration(checkpoint, abouts)
    beside = output if triton else output.with_name(f"{output.stem}_export")
    with checkpoint_configs(checkpoint[0], beside, preset, network, about=abouts[0]) as known:
        configs = [
            CONFIGS / "inference.json",
            *known,
            *network_configs(network or OWN),
            *(overlay or ()),
            CONFIGS / "overlays" / "export.yaml",
            *([preset] if preset else ()),
        ]
        chosen = {
            "input": check,
            "checkpoint": options.one_or_all(checkpoint),
            "output_dir": None if check is None else beside,
            "encoder_weights": encoder_weights,
            "export#plane": None if plane is None else [*plane],
            "export#path": output,
            "export#format": format,
            "export#part": part,
            "export#precision": precision,
            "export#cases": None if check is None else CHECKED,
            "export#triton": triton or None,
        }
        if run_bundle("exporting", configs, chosen, settings, dry_run):
            print(f"\nexported: {shown(output)}")
