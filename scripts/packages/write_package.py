"""Checkpoints and what is known of them -> a folder that is a bundle of its own."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files.atomic_write import write_json
from ..files.checkpoint_file import read_about
from ..files.file_digest import file_digest
from ..run.config_files import BUNDLE_ROOT, CONFIGS
from ..run.ensemble_file import ensemble_file, read_ensemble
from ..run.foreign_code import foreign_code
from ..run.trained_settings import trained_settings
from .baked_configs import baked_configs
from .model_card import model_card
from .package_files import (
    BILL_OF_MATERIALS,
    CARD,
    CODE,
    ENSEMBLE,
    LARGE_FILES,
    METADATA,
    METRICS,
    MODEL,
    REPORT,
    REQUIREMENTS,
    fold_model,
)
from .package_metadata import Encoder, package_metadata
from .package_sums import write_sums
from .requirements import bill_of_materials, pinned, requirement_lines

LICENCE = BUNDLE_ROOT / "LICENSE"


def network_of(checkpoint: Path) -> dict[str, Any]:
    """What it knows. Raises ValueError unless that is all that a package of it needs."""
    about = read_about(checkpoint) or {}
    if "network_def" not in about:
        raise ValueError(f"{checkpoint} does not say which network it is of and how it was trained, so it cannot be packaged")
    if foreign := foreign_code(trained_settings(about)):
        raise ValueError(f"{checkpoint} needs {foreign}, which is no part of this bundle, so it cannot be packaged")
    return about


def write_package(
    folder: Path,
    checkpoints: Sequence[Path],
    encoder: Encoder | None,
    encoder_file: Path | None = None,
    can_be_fetched: bool = False,
    metrics: Path | None = None,
    report: Path | None = None,
    intended_use: str | None = None,
) -> None:
    """The same arguments give the same bytes.

    folder: must not be there; its name is the package's. encoder_file: to be included. can_be_fetched: whether large_files.yml
    lists it. metrics, report: of the run's evaluation.
    """
    together = ensemble_file(checkpoints)
    learnt = read_ensemble(together, checkpoints) if together else None
    abouts = [{**network_of(path), **(learnt or {})} for path in checkpoints]
    models = [MODEL] if len(checkpoints) == 1 else [fold_model(number) for number in range(len(checkpoints))]
    folder.mkdir(parents=True)
    for name, config in baked_configs(abouts, models, encoder.weights if encoder else None).items():
        write_json(folder / name, config)
    pins = pinned()
    metadata = package_metadata(folder.name, abouts[0], encoder, pins, intended_use)
    write_json(folder / METADATA, metadata)
    copies = {
        **dict(zip(models, checkpoints, strict=True)),
        "LICENSE": LICENCE,
        "configs/logging.conf": CONFIGS / "logging.conf",
        **_code(),
        **({encoder.weights: encoder_file} if encoder and encoder_file else {}),
        **({LARGE_FILES: BUNDLE_ROOT / LARGE_FILES} if can_be_fetched else {}),
        **({METRICS: metrics} if metrics else {}),
        **({REPORT: report} if report else {}),
        **({ENSEMBLE: together} if together and learnt else {}),
    }
    for name, source in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    (folder / REQUIREMENTS).write_text(requirement_lines(pins), newline="\n")
    sums = {model: file_digest(folder / model) for model in models}
    write_json(folder / BILL_OF_MATERIALS, bill_of_materials(folder.name, metadata["version"], sums))
    measured = json.loads(metrics.read_text(encoding="utf-8")) if metrics else None
    card = model_card(folder.name, abouts[0], metadata, encoder, len(models), measured, report is not None, can_be_fetched)
    (folder / CARD).parent.mkdir(exist_ok=True)
    (folder / CARD).write_text(card, encoding="utf-8", newline="\n")
    write_sums(folder, [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()])


def _code() -> dict[str, Path]:
    """The product, without the laboratory."""
    files = {path.relative_to(BUNDLE_ROOT).as_posix(): path for path in sorted((BUNDLE_ROOT / "scripts").rglob("*"))}
    return {name: path for name, path in files.items() if CODE.fullmatch(name) and "research" not in name.split("/")}
