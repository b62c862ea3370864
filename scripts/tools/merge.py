"""A checkpoint whose encoder was tuned -> that encoder as a checkpoint in SAM's format."""

from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import CONFIGS, OWN, network_configs
from . import options
from .checkpoint_config import checkpoint_configs
from .run_bundle import run_bundle, shown


def merge(
    checkpoint: options.Checkpoint,
    output: Annotated[Path, typer.Option(parser=options.path, metavar="FOLDER", help="Of encoder.pth.")] = Path("merged"),
    encoder_weights: options.EncoderWeights = None,
    preset: options.OtherPreset = None,
    network: options.OtherNetwork = None,
    overlay: options.Overlays = None,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
) -> None:
    """Write the encoder of a trained network as a SAM checkpoint.

    \b
        sam3d merge --checkpoint runs/lora/model.pt --output merged
        sam3d train DATA --preset mine --cached --encoder-weights merged/encoder.pth --output runs/cached

    What LoRA added is merged into SAM's own tensors, and blocks that were trained replace those of SAM. SAM's code loads the
    file, and as --encoder-weights it is a frozen encoder that gives the embeddings of the tuned one.
    """
    with checkpoint_configs(checkpoint, output, preset, network) as known:
        configs = [
            CONFIGS / "inference.json",
            *known,
            *network_configs(network or OWN),
            *(overlay or ()),
            CONFIGS / "overlays" / "merge.yaml",
            *([preset] if preset else ()),
        ]
        chosen = {"checkpoint": checkpoint, "output_dir": output, "encoder_weights": encoder_weights}
        if run_bundle("merging", configs, chosen, settings, dry_run):
            print(f"\nencoder: {shown(output / 'encoder.pth')}")
