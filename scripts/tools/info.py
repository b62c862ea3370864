"""The bundle, or a training run -> what a person, a program or an assistant needs to know of it."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..run.config_files import BUNDLE_ROOT, CONFIGS, OWN, networks, overlays, presets
from ..run.fold_folders import CHECKPOINT, FOLDS_FILE, fold_checkpoints
from ..run.models_folder import is_installed, models_folder
from . import options

EXIT_CODES = {
    0: "all is done",
    1: "an error, said in one sentence; or a case was refused, and the others are done: report.json says which and why",
    2: "wrong usage: a command, option or value that cannot be, with close names",
    130: "interrupted (SIGINT); what was written is whole",
    143: "ended by SIGTERM; what was written is whole",
}
IN_JSON_ALONE = "settings"  # hundreds of lines


def info(
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(
            parser=options.existing, metavar="RUN", help="The folder of a training run or of its folds, or a model.pt."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(parser=options.file, metavar="FILE", help="A checkpoint, in place of RUN.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is here: versions, devices, weights, presets, networks; or what a checkpoint knows.

    \b
        sam3d info
        sam3d info --json
        sam3d info runs/mine
        sam3d info --checkpoint model.pt

    Weights are missing, verified by their published sha256, wrong, or unverified, as their publishers give none. With --json a
    checkpoint's whole settings are there too.
    """
    if run and checkpoint:
        raise typer.BadParameter("it is the checkpoint that RUN would name; leave one of them out", param_hint="--checkpoint")
    if about := run or checkpoint:
        facts = _run_facts(about)
    else:
        commands = context.find_root().command.commands  # pyright: ignore[reportAttributeAccessIssue] it is a group
        facts = {
            **_bundle_facts(),
            "commands": {name: command.get_short_help_str(limit=200) for name, command in commands.items()},
            "exit_codes": {str(code): meaning for code, meaning in EXIT_CODES.items()},
        }
    print(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(facts)))


def _bundle_facts() -> dict[str, Any]:
    import platform
    from importlib.metadata import version

    metadata = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
    return {
        "version": metadata["version"],
        "bundle": str(BUNDLE_ROOT),
        "installed": "from a wheel" if is_installed(BUNDLE_ROOT) else "as a folder",
        "docs": str(BUNDLE_ROOT / "docs"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "monai", "numpy")}},
        "devices": _devices(),
        "models_dir": models_folder(BUNDLE_ROOT),
        "weights": _weights(Path(models_folder(BUNDLE_ROOT))),
        "models": _shipped_models(),
        "presets": _descriptions(presets()),
        "networks": {
            OWN: "SAM's slice encoder and a residual 3-D decoder, the network of train.json",
            **_descriptions(networks()),
        },
        "overlays": _descriptions(overlays()),
    }


def _devices() -> dict[str, dict[str, Any]]:
    import os

    import psutil
    import torch

    found = {"cpu": {"cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 1e9, 1)}}
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = {"name": card.name, "memory_gb": round(card.total_memory / 1e9, 1)}
    return found


def _weights(folder: Path) -> dict[str, dict[str, Any]]:
    from ..files.file_digest import file_digest
    from ..weights.encoder_files import ENCODER_FILES

    def state(path: Path, expected: str | None) -> str:
        if not path.is_file():
            return "missing"
        return "unverified" if expected is None else "verified" if file_digest(path) == expected else "wrong"

    return {
        entry.name: {"state": state(folder / entry.file, entry.sha256), "file": entry.file, "licence": entry.licence}
        for entry in ENCODER_FILES
    }


def _shipped_models() -> dict[str, dict[str, Any]]:
    """Trained networks in `models` of the bundle, by their path there."""
    from ..files.checkpoint_file import read_about
    from ..weights.encoder_files import BY_FILE

    folder = BUNDLE_ROOT / "models"
    abouts = {path: read_about(path) for path in sorted(folder.rglob("*.pt")) if path.name not in BY_FILE}
    return {
        str(path.relative_to(folder)): {"classes": ", ".join(map(str, _names(about))), "modalities": about.get("modalities")}
        for path, about in abouts.items()
        if about
    }


def _descriptions(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: _first_sentence(path.read_text(encoding="utf-8")) for name, path in files.items()}


def _first_sentence(text: str) -> str:
    """Of the comment with which a config file begins."""
    comment = "\n".join(line.strip("# ") for line in re.split(r"^(?!#)", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines())
    sentence = re.split(r"(?<!et al)\.(?=\s|$)|:$", comment, maxsplit=1, flags=re.MULTILINE)[0]
    return " ".join(sentence.split())


def _run_facts(path: Path) -> dict[str, Any]:
    if path.is_file():
        return {"checkpoints": [_checkpoint_facts(path)]}
    if not (path / FOLDS_FILE).exists():
        if not (path / CHECKPOINT).is_file():
            raise typer.BadParameter(f"{path} holds no {CHECKPOINT} of a training run", param_hint="RUN")
        return {"checkpoints": [_checkpoint_facts(path / CHECKPOINT)]}
    try:
        folds = fold_checkpoints(path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="RUN") from error
    return {"evaluation": _figures(path / "metrics.json"), "checkpoints": [_checkpoint_facts(fold) for fold in folds]}


def _checkpoint_facts(path: Path) -> dict[str, Any]:
    """Raises ValueError for a damaged file."""
    from ..files.checkpoint_file import read_about
    from ..files.file_digest import file_digest
    from ..weights.encoder_files import BY_SHA256

    about, digest = read_about(path), file_digest(path)
    facts: dict[str, Any] = {"file": str(path), "bytes": path.stat().st_size, "sha256": digest}
    if not about:
        known = BY_SHA256.get(digest)
        return {
            **facts,
            "made_by": f"others: the published file of {known.name}" if known else "others: it says nothing of itself",
        }
    calibration = about.get("calibration")
    return {
        **facts,
        "made_by": "a training run of this bundle",
        "classes": _names(about),
        **{key: about.get(key) for key in ("modalities", "axcodes", "spacing", "spatial_size", "roi_depth")},
        "components": _components(about.get("network_def")),
        "encoder": {
            "variant": about.get("encoder_variant"),
            "weights": about.get("encoder_weights", "a file that the user named"),
        },
        "training": {
            key: about[key] for key in ("max_epochs", "seed", "folds", "fold", "init_from") if about.get(key) is not None
        },
        "validation": _validation(path.with_name("last.pt")),
        "evaluation": _figures(path.parent / "evaluation" / "metrics.json"),
        "calibration": {key: calibration.get(key) for key in ("coverage", "cases")} if calibration else None,
        IN_JSON_ALONE: about,
    }


def _names(about: Mapping[str, Any]) -> list[str]:
    from ..basics.classes import classes_of

    return [*(about.get("regions") or classes_of(about.get("labels", {}), about.get("merge_labels", {})).values())]


def _components(network: Any) -> list[str]:
    """What the network is made of, from outside in."""
    own = [network["_target_"].rpartition(".")[2]] if isinstance(network, Mapping) and "_target_" in network else []
    children = network.values() if isinstance(network, Mapping) else ()
    return own + [name for child in children for name in _components(child)]


def _validation(last: Path) -> dict[str, Any] | None:
    """Of the run, if its state lies beside the checkpoint."""
    from ..files.checkpoint_file import read_checkpoint

    if not last.is_file():
        return None
    state = read_checkpoint(last)
    return {key: state.get(key) for key in ("best_metric", "best_metric_epoch", "epoch", "complete")}


def _figures(path: Path) -> dict[str, Any] | None:
    """Of an evaluation, if there is one."""
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return {key: found.get(key) for key in ("cases", "mean_dice", "mean_dice_interval")}


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    """The same as text: a line for each value, and for each group of values a name and its lines."""
    for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        if name == IN_JSON_ALONE:
            continue
        if isinstance(item, Mapping) and item and indent and all(not isinstance(one, Mapping | list) for one in item.values()):
            yield f"{indent}{name}: {', '.join(f'{key} {one}' for key, one in item.items())}"
        elif isinstance(item, Mapping) and item:
            yield from ("" if not indent else f"{indent}{name}:", *([f"{name}:"] if not indent else []))
            yield from _lines(item, f"{indent}    ")
        elif isinstance(item, list) and any(isinstance(one, Mapping) for one in item):
            for one in item:
                yield from ("", *_lines(one, indent))
        else:
            yield f"{indent}{name}: {_shown(item)}"


def _shown(item: Any) -> str:
    if item is None or item == {} or item == []:
        return "none"
    return ", ".join(map(str, item)) if isinstance(item, list) else str(item)
