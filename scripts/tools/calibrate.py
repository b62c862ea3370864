"""A training run, its folds or their ensemble, evaluated -> what says how far their masks can be trusted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..run.ensemble_file import NAME, is_ensemble_file, write_ensemble
from ..run.fold_folders import CHECKPOINT, ENSEMBLE, FOLDS_FILE, fold_checkpoints
from . import options
from .evaluated_cases import evaluated_cases
from .run_bundle import say_next, shown

if TYPE_CHECKING:
    from ..evaluation.calibration.choose_cleaning import Labelled
    from ..evaluation.calibration.sampled_case import SampledCase

EVALUATION, FOLDS = "evaluation", "fold_*"
REPORT, PICTURE = "calibration.json", "calibration.png"
FEW = 20  # cases


class Member(NamedTuple):
    """A network, or an ensemble of several: the settings of the first, and the cases that they were evaluated on."""

    checkpoints: list[Path]
    about: dict[str, Any]
    cases: "list[SampledCase]"

    @property
    def checkpoint(self) -> Path:
        return self.checkpoints[0]


def calibrate(
    run: Annotated[Path, typer.Argument(parser=options.folder, metavar="RUN", help="Of a training run, or of one with folds.")],
    coverage: Annotated[
        float, typer.Option(min=0.5, max=0.99, metavar="SHARE", help="Of new cases, that the intervals are to hold.")
    ] = 0.9,
) -> None:
    """Learn from evaluated cases how far masks can be trusted, and how to clean them.

    \b
        sam3d evaluate DATA --checkpoint runs/mine/model.pt
        sam3d calibrate runs/mine
        sam3d segment SCANS --checkpoint runs/mine/model.pt --output masks --flag-below 0.8

    RUN holds model.pt with its evaluation, or folders fold_0, fold_1, ... that do. RUN/calibration.json holds all figures, each
    measured on cases that nothing was fitted to, RUN/calibration.png the picture. What was learnt becomes part of model.pt.

    The ensemble of all folds is calibrated by cases that none of them knows; runs/mine/ensemble.json holds what was learnt:

    \b
        sam3d evaluate DATA --checkpoint runs/mine
        sam3d calibrate runs/mine/ensemble
        sam3d segment SCANS --checkpoint runs/mine --output masks --flag-below 0.8
    """
    from ..basics.classes import classes_of
    from ..data import open_image, open_label, structures
    from ..data.masks.clean_mask import clean_mask
    from ..evaluation.calibration.calibrate_cases import calibrate_cases
    from ..evaluation.calibration.choose_cleaning import choose_cleaning, cleaned
    from ..evaluation.calibration.draw_calibration import draw_calibration
    from ..evaluation.calibration.fit_calibration import told_by
    from ..files.atomic_write import write_json
    from ..files.own_file import refuse_foreign

    is_ensemble = run.name == ENSEMBLE and (run.parent / FOLDS_FILE).is_file()
    members = [_ensemble(run)] if is_ensemble else _members(run)
    if is_ensemble:
        refuse_foreign(run.parent / NAME, is_ensemble_file)
    for folder in {run, *(member.checkpoint.parent for member in members if not is_ensemble)}:
        refuse_foreign(folder / REPORT, lambda path: {"by_case", "temperature"} <= _json(path).keys())
        refuse_foreign(folder / PICTURE, lambda path: path.with_name(REPORT).exists())
    report_file, picture = run / REPORT, run / PICTURE
    cases = [case for member in members for case in member.cases]
    settings = members[0].about
    classes = classes_of(settings["labels"], settings.get("merge_labels", {}))
    regions = settings.get("regions", {})
    labels = {int(value): name for value, name in classes.items()}
    of_structures = structures(classes, regions)

    def open_reference(path: str) -> Any:
        return open_label(path, settings["labels"], settings.get("merge_labels", {}))

    cleaning, measured = dict(cases[0].cleaning), {}
    if not cleaning and not regions:  # else it was chosen before, and the masks were measured with it
        opened = _opened(cases, labels, settings.get("ignore_label", []), open_image, open_reference)
        cleaning, measured = choose_cleaning(opened, {value: labels[value] for value in [*labels][1:]}, clean_mask)
        if cleaning:
            cases = [cleaned(case, one, labels, cleaning, clean_mask) for case, one in zip(cases, opened(), strict=True)]
    found = calibrate_cases(cases, _parts(members), of_structures, bool(regions), coverage)
    report = {**found.report, "cleaning": {"setting": cleaning, "measured": measured}}
    write_json(report_file, report)
    draw_calibration(report, [*of_structures], picture)
    stamp = {
        "temperature": found.fitted.temperature[0] if len(found.fitted.temperature) == 1 else found.fitted.temperature,
        "cleaning": cleaning,
        "calibration": {
            "coverage": coverage,
            "cases": len(cases),
            "told_by": [*told_by(cases)],
            "structures": [structure.as_dict() for structure in found.fitted.structures],
        },
    }
    if is_ensemble:
        write_ensemble(run.parent / NAME, members[0].checkpoints, stamp)
    for member in members if not is_ensemble else ():
        _stamp(member, stamp)
        if member.checkpoint.parent != run:  # what was learnt of this fold alone is no longer in its checkpoint
            for name in (PICTURE, REPORT):
                (member.checkpoint.parent / name).unlink(missing_ok=True)
    _say(report, [*of_structures])
    print(f"\nfigures: {shown(report_file)}\npicture: {shown(picture)}")
    named = [run] if (run / FOLDS_FILE).exists() else [member.checkpoint for member in members]
    if is_ensemble:
        print(f"for all folds together: {shown(run.parent / NAME)}")
        named = [run.parent]
    checkpoints = [word for path in named for word in ("--checkpoint", path)]
    say_next(("segment", "SCANS", *checkpoints, "--output", "masks", "--flag-below", "0.8"))


def _members(run: Path) -> list[Member]:
    """Raises BadParameter where there is no evaluation, or one of other networks or of cases that were trained on."""
    from ..run.settings import network_settings

    folds = sorted(
        (path for path in run.glob(FOLDS) if (path / CHECKPOINT).is_file()), key=lambda path: (len(path.name), path.name)
    )
    if (run / FOLDS_FILE).exists():
        try:
            folds = [path.parent for path in fold_checkpoints(run)]
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="RUN") from error
    if not folds and not (run / CHECKPOINT).is_file():
        raise typer.BadParameter(f"{shown(run)} holds no {CHECKPOINT}, nor do folders {FOLDS} in it", param_hint="RUN")
    members = [_member(folder) for folder in folds or [run]]
    seen: dict[str, Path] = {}
    for member in members:
        if network_settings(member.about) != network_settings(members[0].about):
            found = f"{shown(member.checkpoint)} was trained with another preset or network than {shown(members[0].checkpoint)}"
            raise typer.BadParameter(f"{found}; calibrate them one by one", param_hint="RUN")
        for case in member.cases:
            if (image := case.files["image"]) in seen:
                found = f"{image} is in the evaluations of {shown(seen[image])} and {shown(member.checkpoint)}"
                remedy = "each case counts once: evaluate each network on the cases that it alone was not trained on"
                raise typer.BadParameter(f"{found}; {remedy}", param_hint="RUN")
            seen[image] = member.checkpoint
    if any(case.cleaning != members[0].cases[0].cleaning for member in members for case in member.cases):
        raise typer.BadParameter("the evaluations cleaned their masks in different ways; evaluate again", param_hint="RUN")
    return members


def _member(folder: Path) -> Member:
    checkpoint = folder / CHECKPOINT
    return _evaluated([checkpoint], folder / EVALUATION, f"run: sam3d evaluate DATA --checkpoint {shown(checkpoint)}")


def _ensemble(evaluation: Path) -> Member:
    """Raises BadParameter as `_member` does, and for an evaluation from before members were compared."""
    run = evaluation.parent
    try:
        checkpoints = fold_checkpoints(run)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="RUN") from error
    again = f"run: sam3d evaluate DATA --checkpoint {shown(run)}"
    member = _evaluated(checkpoints, evaluation, again)
    if any(case.disagreement is None for case in member.cases):
        found = f"{shown(evaluation)} does not say where the networks disagree"
        raise typer.BadParameter(f"{found}; {again}", param_hint="RUN")
    return member


def _evaluated(checkpoints: list[Path], evaluation: Path, again: str) -> Member:
    """again: how to make what is missing."""
    from ..files.checkpoint_file import read_about

    abouts = [read_about(path) or {} for path in checkpoints]
    for path, about in zip(checkpoints, abouts, strict=True):
        if "labels" not in about:
            raise typer.BadParameter(f"{shown(path)} does not say what it was trained with", param_hint="RUN")
    return Member(checkpoints, abouts[0], evaluated_cases(evaluation, checkpoints, again))


def _json(path: Path) -> Any:
    import json

    return json.loads(path.read_text(encoding="utf-8"))


def _parts(members: Sequence[Member]) -> Any:
    """Of each case its fold; in a single run one of five, drawn by patient."""
    import numpy as np

    from ..data.cases.split_subjects import subjects_of
    from ..evaluation.calibration.cross_fit import parts_of

    if len(members) > 1:
        return np.concatenate([np.full(len(member.cases), number) for number, member in enumerate(members)])
    return parts_of(subjects_of([{"image": case.files["image"]} for case in members[0].cases]))


def _opened(
    cases: "Sequence[SampledCase]",
    labels: Mapping[int, str],
    ignore_label: Sequence[int],
    open_image: Callable[[str], Any],
    open_reference: Callable[[str], Any],
) -> "Callable[[], Iterator[Labelled]]":
    """Reads masks and references, one case after the other; whoever calls it again reads them again."""
    import nibabel as nib
    import numpy as np

    from ..basics.geometry import reorientation, spacing_of
    from ..evaluation.calibration.choose_cleaning import IGNORED, Labelled

    def read() -> Iterator[Labelled]:
        for case in cases:
            mask, reference = open_image(case.files["mask"]), open_reference(case.files["reference"])
            turned = nib.apply_orientation(reference.read()[0], reorientation(reference.affine, mask.affine))
            values = np.where(np.isin(turned, ignore_label), IGNORED, np.where(np.isin(turned, [*labels]), turned, 0))
            annotated = {value for value, size in zip([*labels][1:], case.voxels_reference, strict=True) if not np.isnan(size)}
            yield Labelled(
                mask.read()[0].astype(np.int32), values.astype(np.int32), spacing_of(mask.affine).tolist(), annotated
            )

    return read


def _stamp(member: Member, stamp: Mapping[str, Any]) -> None:
    from ..files.checkpoint_file import read_checkpoint, write_checkpoint

    about = {**member.about, **stamp}
    if about != member.about:
        write_checkpoint(member.checkpoint, read_checkpoint(member.checkpoint), about)


def _say(report: Mapping[str, Any], structures: Sequence[str]) -> None:
    temperature, errors = report["temperature"]["value"], report["calibration_error"]
    print(f"{report['cases']} cases in {report['parts']} parts, each measured with what the others gave")
    print(f"temperature {', '.join(f'{one:.3f}' for one in temperature)}")
    for where, name in (("all", "all voxels"), ("near", "voxels near structures")):
        before, after = (errors[where][when]["mean"] for when in ("before", "after"))
        print(f"expected calibration error, {name}: {before:.4f}, with the temperature {after:.4f}")
    for name in structures:
        dice, volume = (report["structures"][name][key] for key in ("dice", "volume"))
        print(
            f"{name}: predicted Dice: Spearman {_shown(dice['spearman'])}, error {_shown(dice['mean_absolute_error'])}, "
            f"interval holds {_shown(dice['coverage'])}; volume interval holds {_shown(volume['coverage'])}"
        )
    for flags in report["flagged"]:
        print(
            f"Dice below {flags['below']}: {flags['wrong']} cases; {flags['flagged']} flagged, {flags['found']} of these right"
        )
    print(f"cleaning: {report['cleaning']['setting'] or 'none helps'}")
    if report["cases"] < FEW:
        print(
            f"in doubt: {report['cases']} cases are few; with fewer than 9 in the other parts an interval is all that can be, "
            "and the order of the cases and the cleaning may be chance"
        )


def _shown(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
