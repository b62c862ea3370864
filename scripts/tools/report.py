"""Masks of any tool and their references -> the page and the tables of an evaluation."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import options
from .dataset import names
from .run_bundle import shown

LIST = "dataset.json"


def report(
    masks: Annotated[Path, typer.Argument(parser=options.folder, metavar="MASKS", help="A folder of masks, of any tool.")],
    references: Annotated[Path, typer.Argument(parser=options.folder, metavar="REFERENCES", help="Of their labels.")],
    images: Annotated[
        Path | None, typer.Option(parser=options.folder, metavar="FOLDER", help="Of the images, for the pictures.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            parser=options.path, metavar="PATH", help="Of the page and the tables: a folder, or an .html file in one."
        ),
    ] = Path("report"),
    labels: Annotated[
        Path | None,
        typer.Option(
            parser=options.file,
            metavar="FILE",
            help=f"A {LIST}, ours or nnU-Net's, that names the values.  [default: one in or beside these folders]",
        ),
    ] = None,
    label_names: Annotated[
        Any, typer.Option(parser=names, metavar="NAMES", help='What the values mean: "1=liver,7=tumour".')
    ] = None,
    nsd_tolerance: Annotated[float, typer.Option(min=0, help="Up to which surfaces agree, in --nsd-unit.")] = 1.0,
    nsd_unit: Annotated[Literal["mm", "voxel"], typer.Option(help="Of the tolerance.")] = "voxel",
) -> None:
    """Measure masks against references, and draw the page that `evaluate` draws.

    \b
        sam3d report nnUNet_results/fold_0/validation DATA/labelsTr --images DATA/imagesTr
        sam3d report MASKS REFERENCES --label-names "1=liver,2=tumour" --output liver

    Files are paired by name: case.nii.gz or case_seg.nii.gz with case.nii.gz and case_0000.nii.gz. Cases that cannot be
    compared, such as those on another grid than their reference, are refused, the others are measured, and the exit code is 1.
    """
    from tqdm import tqdm

    from ..basics.case import Case
    from ..data.cases.case_error import CaseError
    from ..data.formats.open_image import open_image
    from ..data.masks.case_report import CaseReport
    from ..data.masks.mask_labels import find_labels
    from ..data.masks.pair_masks import pair_masks
    from ..data.masks.read_masks import read_masks
    from ..evaluation import CaseMetrics, ReportPage

    page = output if output.suffix == ".html" else output / "report.html"
    found = pair_masks(masks, references, images)
    known = find_labels(labels or _list_near(masks, references, images), label_names or {}, found.pairs)
    missing = _say_missing(found.missing)
    entries = CaseReport(page.parent)
    metrics = CaseMetrics(
        page.parent,
        known.labels,
        open_image,
        nsd_tolerance,
        nsd_unit,
        ignore_label=known.ignored,
        regions=known.regions,
    )
    drawn = ReportPage(
        page,
        entries,
        known.labels,
        open_image,
        metrics=metrics,
        arguments=["sam3d", *sys.argv[1:]],
        notes=missing,
    )
    metrics.clear()
    drawn.clear()
    for case, error in found.refused:
        entries.refused(case, error)
    values = {*map(int, known.labels), *known.ignored}
    for pair in tqdm(found.pairs, desc="measuring", unit="case", dynamic_ncols=True):
        case: Case = {"image": str(pair.mask)}
        try:
            read, notes = read_masks(pair, values)
            metrics.add(read)
        except (CaseError, ValueError, OSError) as error:
            entries.refused(case, error)
        else:
            entries.noted(case, notes)
            entries.done(case, mask=str(pair.mask))
    metrics.finish()
    drawn.write()
    for line in missing:
        print(line)
    if metrics.rows:
        print(f"mean Dice {metrics.summary()['mean_dice']:.4f} over {len(metrics.files)} cases\ntables: {shown(page.parent)}")
    print(f"report: {shown(page)}")
    entries.finish()


def _list_near(*folders: Path | None) -> Path | None:
    """The first dataset.json in or beside these folders."""
    places = [place for folder in folders if folder is not None for place in (folder, folder.parent)]
    return next((place / LIST for place in places if (place / LIST).is_file()), None)


def _say_missing(references: list[Path]) -> list[str]:
    """A part of the cases may be meant, such as those of one fold; that the others are missing is said all the same."""
    if not references:
        return []
    some = ", ".join(path.name for path in references[:3])
    count = f"{len(references)} reference{'s' * (len(references) > 1)}"
    return [f"{count} without a mask {'were' if len(references) > 1 else 'was'} not measured, such as {some}"]
