"""A training run -> a bundle of its own, to be carried elsewhere."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..run.config_files import BUNDLE_ROOT
from ..run.fold_folders import CHECKPOINT, ENSEMBLE, fold_checkpoints
from ..run.models_folder import models_folder
from . import options
from .checkpoint_config import read_abouts, require_one_calibration
from .evaluated_cases import evaluated_cases
from .run_bundle import say_next, shown

NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
WEIGHTS = re.compile(r"\$@models_dir \+ '/(\w[\w.-]*\.(pt|pth|safetensors))'", re.ASCII)  # where a config looks for them


def run_folder(text: str | Path) -> Path:
    """With model.pt, or the folds."""
    found = options.folder(text)
    if not (found / CHECKPOINT).is_file():
        try:
            fold_checkpoints(found)
        except ValueError as error:
            raise typer.BadParameter(f"{error}") from error
    return found


def new_folder(text: str | Path) -> Path:
    found = options.path(text)
    if found.exists():
        raise typer.BadParameter(f"{text} is there already; choose another folder, or remove it")
    if not NAME.fullmatch(found.name):
        raise typer.BadParameter(f"a package is named by letters, digits and _, the first a letter, got {found.name!r}")
    return found


def package(
    run: Annotated[
        Path, typer.Argument(parser=run_folder, metavar="RUN", help="The folder of a training run, or of one with --folds.")
    ],
    output: Annotated[Path, typer.Option(parser=new_folder, metavar="FOLDER", help="Of the package, and its name.")],
    zip_file: Annotated[bool, typer.Option("--zip", help="Write FOLDER.zip too, to send it.")] = False,
    encoder: Annotated[
        Literal["name", "include"],
        typer.Option(help="Name the slice encoder's weights by their sha256, or include them (375 MB of SAM's ViT-B)."),
    ] = "name",
    encoder_weights: options.EncoderWeights = None,
    intended_use: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the network may be used for.  [default: research]")
    ] = None,
    without_report: Annotated[
        bool, typer.Option("--without-report", help="Leave out the page of the evaluation, which shows slices of its cases.")
    ] = False,
) -> None:
    """Make a bundle of its own from a training run.

    \b
        sam3d package runs/mine --output mine_bundle --zip
        sam3d segment SCANS --checkpoint mine_bundle --output masks

    The package holds the network, configs that need no preset, the code that segments, a model card with the figures of the
    run's evaluation, a bill of materials, and the sha256 of every file. With a few libraries it segments by itself, without
    SAM-3D: see docs/README.md in it. Evaluate the run before, so that its card says how good it is.
    """
    from ..packages.archive import write_archive
    from ..packages.check_package import check_package
    from ..packages.write_package import network_of, write_package

    checkpoints = [run / CHECKPOINT] if (run / CHECKPOINT).is_file() else fold_checkpoints(run)
    require_one_calibration(checkpoints, read_abouts(checkpoints))
    known, file, listed = _encoder(network_of(checkpoints[0]), encoder, encoder_weights)
    evaluation = _evaluation_of(run, checkpoints)
    metrics, report = (_if_there(evaluation / name) for name in ("metrics.json", "report.html"))
    made = output.with_name(f".partial.{output.name}") / output.name
    shutil.rmtree(made.parent, ignore_errors=True)
    try:
        write_package(made, checkpoints, known, file, listed, metrics, None if without_report else report, intended_use)
        check_package(made)
        made.rename(output)
    finally:
        shutil.rmtree(made.parent, ignore_errors=True)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"package: {shown(output)} ({size / 1e6:.1f} MB), its card: {shown(output / 'docs' / 'README.md')}")
    if zip_file:
        archive = output.with_name(f"{output.name}.zip")
        write_archive(output, archive)
        print(f"to send: {shown(archive)}")
    if metrics is None:
        print(
            f"in doubt: its card cannot say how good it is, there is no {shown(evaluation / 'metrics.json')}; evaluate the run"
        )
    say_next(("segment", "SCANS", "--checkpoint", output, "--output", "masks"))


def _evaluation_of(run: Path, checkpoints: Sequence[Path]) -> Path:
    """The folder of a run's evaluation; of folds that of their ensemble on cases that none of them knows, or the joined one."""
    if len(checkpoints) == 1:
        return run / "evaluation"
    if not (run / ENSEMBLE / "metrics.json").is_file():
        return run
    try:
        evaluated_cases(run / ENSEMBLE, checkpoints, f"run: sam3d evaluate DATA --checkpoint {shown(run)}")
    except (typer.BadParameter, ValueError) as error:
        typer.echo(f"in doubt: the card has the figures of the folds one by one, since {error}", err=True)
        return run
    return run / ENSEMBLE


def _encoder(about: Mapping[str, Any], how: str, given: str | None) -> tuple[Any, Path | None, bool]:
    """What the package says of its encoder, the file to include, and whether large_files.yml lists it."""
    from ..files.file_digest import file_digest
    from ..packages.package_metadata import Encoder, has_encoder
    from ..weights.encoder_files import BY_FILE, BY_SHA256, DEFAULT

    if not has_encoder(about):
        return None, None, False
    said = given or str(about.get("encoder_weights"))
    if said == "random":
        return Encoder("random"), None, False
    found = WEIGHTS.fullmatch(str(about.get("encoder_weights")))
    file = Path(given) if given else Path(models_folder(BUNDLE_ROOT), found[1]) if found else None
    name = found[1] if found else f"encoder{file.suffix if file else '.pth'}"
    place = f"models/{name}"
    digest = file_digest(file) if file and file.is_file() else None
    published = BY_SHA256.get(digest) if digest else BY_FILE.get(Path(place).name)
    digest = digest or (published.sha256 if published and how == "name" else None)
    if digest is None:
        raise typer.BadParameter(
            f"the weights of the slice encoder are not at {file or 'a place that the checkpoint knows'}; name their file",
            param_hint="--encoder-weights",
        )
    known = Encoder(place, digest, published and published.licence, how == "include")
    included = file if how == "include" else None
    return known, included, included is None and published is DEFAULT and Path(place).name == DEFAULT.file


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
