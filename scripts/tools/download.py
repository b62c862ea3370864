"""large_files.yml -> the files it lists, each verified by its sha256."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import BUNDLE_ROOT
from . import options

LIST = BUNDLE_ROOT / "large_files.yml"


def download(
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One file of large_files.yml, without its folder.")] = None,
    output: Annotated[
        Path,
        typer.Option(parser=options.path, metavar="FOLDER", help="Where models/ is made.", show_default="the bundle's folder"),
    ] = BUNDLE_ROOT,
) -> None:
    """Download SAM's weights (375 MB) to where the runs look for them.

    \b
        sam3d download
        sam3d download --only sam_vit_b_01ec64.pth --output /data/sam3d
    """
    from ..weights.download import download, read_large_files

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    files = read_large_files(LIST)
    chosen = [file for file in files if only in (None, file.path.name)]
    if not chosen:
        names = ", ".join(file.path.name for file in files)
        raise typer.BadParameter(f"{LIST.name} lists no {only}, only {names}", param_hint="--only")
    for file in chosen:
        download(file, output)
