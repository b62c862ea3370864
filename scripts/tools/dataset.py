"""A folder of images and labels, named in any of the usual ways -> its dataset.json."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .run_bundle import say_next, shown


def regular_expression(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise typer.BadParameter(f"{text} is no regular expression: {error}") from error
    if not groups:
        raise typer.BadParameter(rf"{text} has no group; put the subject in parentheses, such as (patient\d+)")
    return text


def names(text: str) -> dict[int, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(value.strip().isdecimal() and name.strip() for value, _, name in pairs):
        raise typer.BadParameter(f'names must be given as "1=liver,7=tumour", got "{text}"')
    return {int(value): name.strip() for value, _, name in pairs}


def pattern(text: str) -> str:
    if "{case}" not in text:
        raise typer.BadParameter(f"{text} must hold {{case}}, which stands for what names a case")
    return text


def dataset_json_folder(text: str | Path) -> Path:
    found = options.path(text)
    if found.suffix == ".json" and found.name != "dataset.json":
        raise typer.BadParameter(f"the file must be called dataset.json, got {text}; give the folder that it goes into")
    return found.parent if found.name == "dataset.json" else found


def dataset(
    data: Annotated[Path, typer.Argument(parser=options.folder, metavar="DATA", help="Is searched through.")],
    labels: Annotated[
        Path | None, typer.Option(parser=options.folder, metavar="FOLDER", help="Where the labels are, if not in DATA.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=options.folder, metavar="FOLDER", help="Must hold all files.  [default: DATA, or what holds both]"),
    ] = None,
    val_fraction: Annotated[float, typer.Option(metavar="X", help="Of the subjects, held out for validation.")] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", help="Which subjects.")] = 0,
    subject: Annotated[
        str | None,
        typer.Option(parser=regular_expression, metavar="REGEX", help="Its first group in an image's path is the subject."),
    ] = None,
    label_names: Annotated[
        Any, typer.Option(parser=names, metavar="NAMES", help='What the values in the labels mean: "1=liver,7=tumour".')
    ] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Which images of a case to use, such as T1w,FLAIR.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            parser=pattern, metavar="PATTERN", help="Paths of images, such as {case}_ct.nii.gz; one for each channel."
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            parser=pattern, metavar="PATTERN", help="Paths of labels, such as seg/{case}*; several of a case are merged."
        ),
    ] = None,
    dataset_json: Annotated[
        Path | None,
        typer.Option(parser=dataset_json_folder, metavar="PATH", help="Where dataset.json goes, if not into DATA."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace dataset.json; one of other origin becomes dataset_original.json.")
    ] = False,
) -> None:
    """Find images and labels in a folder, and list them in its dataset.json.

    \b
        sam3d dataset DATA
        sam3d dataset DATA/scans --labels DATA/masks --label-names "1=liver,7=tumour"

        sam3d dataset DATA --image "{case}_ct.nii.gz" --label "seg/{case}*"

    Cases are recognised by names, and where these do not tell by content. What was understood is shown: read the lines IN
    DOUBT. All problems are listed at once; then nothing is written and the exit code is 1.
    """
    from ..data.onboarding.write_dataset import write_dataset

    used = [name.strip() for name in (channels or "").split(",") if name.strip()]
    named = label_names or {}
    if bool(image) != bool(label) or (image and (labels or used)):
        raise typer.BadParameter("--image and --label go together, without --labels and --channels")
    patterns = (image, label) if image and label else None
    try:
        written, report = write_dataset(
            data, labels, output, val_fraction, seed, subject, named, used, overwrite, patterns, dataset_json
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"{error}\nnothing was written") from error
    print(f"{report}\nwrote {shown(written)}")
    say_next(("preset", written.parent))
