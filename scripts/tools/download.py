"""large_files.yml, or names of encoders -> their files, each verified by its sha256."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from ..run.close_names import did_you_mean
from ..run.config_files import BUNDLE_ROOT
from ..run.models_folder import models_folder
from . import options

LIST = BUNDLE_ROOT / "large_files.yml"
WEIGHTS = Path(models_folder(BUNDLE_ROOT)).parent


def download(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Encoders of docs/encoders.md.  [default: vit_b]")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One file of large_files.yml, without its folder.")] = None,
    output: Annotated[
        Path,
        typer.Option(
            parser=options.path,
            metavar="FOLDER",
            help="Where models/ is made.",
            show_default="the bundle's folder; of a bundle that pip installed, the user's cache",
        ),
    ] = WEIGHTS,
) -> None:
    """Download the weights of encoders to where the runs look for them: without a name SAM's ViT-B (375 MB).

    \b
        sam3d download
        sam3d download mobile_sam
        sam3d download --only sam_vit_b_01ec64.pth --output /data/sam3d
    """
    from ..weights.download import download, encoder_file, read_large_files
    from ..weights.encoder_files import BY_NAME

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if names and only:
        raise typer.BadParameter("it has no effect beside names of encoders", param_hint="--only")
    for name in names or ():
        if name not in BY_NAME:
            known = f"{did_you_mean(name, BY_NAME) or '.'} There are {', '.join(BY_NAME)}"
            raise typer.BadParameter(f"{name!r} is none of the encoders{known}", param_hint="NAME")
    listed = [encoder_file(name, output) for name in names] if names else read_large_files(LIST)
    files = [file for file in listed if only in (None, file.path.name)]
    if not files:
        known = ", ".join(file.path.name for file in listed)
        raise typer.BadParameter(f"{LIST.name} lists no {only}, only {known}", param_hint="--only")
    for file in files:
        download(file, output)
