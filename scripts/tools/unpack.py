"""A package that somebody sent -> checked, and unpacked."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .package import new_folder
from .run_bundle import say_next, shown


def unpack(
    package: Annotated[
        Path, typer.Argument(parser=options.existing, metavar="PACKAGE", help="A zip file, or the folder of a package.")
    ],
    output: Annotated[
        Path | None, typer.Option(parser=new_folder, metavar="FOLDER", help="[default: the name of the zip file, without .zip]")
    ] = None,
) -> None:
    """Check a package that somebody sent, and unpack it.

    \b
        sam3d unpack mine_bundle.zip
        sam3d unpack mine_bundle

    Nothing of the package is run. It must hold the files that SHA256SUMS lists and no other, name no component or expression
    that is not this bundle's, and hold nothing but numbers in its weights. A folder is checked where it is. What does not pass
    is refused, and nothing of it is left.
    """
    from ..packages.archive import unpack_archive
    from ..packages.check_package import check_package

    if package.is_dir():
        if output:
            raise typer.BadParameter("a folder is checked where it is; leave it out", param_hint="--output")
        found, folder = check_package(package), package
    else:
        folder = output or new_folder(package.with_suffix(""))
        partial = folder.with_name(f".partial.{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            unpack_archive(package, partial)
            found = check_package(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    for doubt in found.doubts:
        print(f"in doubt: {doubt}")
    print(f"checked: {shown(folder)}, {len(found.checkpoints)} network{'s' * (len(found.checkpoints) > 1)}")
    say_next(("segment", "SCANS", "--checkpoint", folder, "--output", "masks"))
