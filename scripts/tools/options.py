"""The options that several commands take, and how the words of a user become their values."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from ..packages.package_files import is_package
from ..run.bundle_command import read_setting
from ..run.config_files import OWN, network_configs, networks, overlay_config, overlays, preset_config, presets
from ..run.fold_folders import FOLDS_FILE, fold_checkpoints
from ..run.paths import meant_path

CHECKPOINT = "--checkpoint"


def path(text: str | Path) -> Path:
    """Absolute, since the line that a command stands for runs in any folder."""
    try:
        return Path(os.path.abspath(meant_path(str(text))))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def folder(text: str | Path) -> Path:
    found = path(text)
    if not found.is_dir():
        raise typer.BadParameter(f"no folder {text}")
    return found


def file(text: str | Path) -> Path:
    found = path(text)
    if not found.is_file():
        raise typer.BadParameter(f"no file {text}")
    return found


def existing(text: str | Path) -> Path:
    found = path(text)
    if not found.exists():
        raise typer.BadParameter(f"no file or folder {text}")
    return found


def dataset_folder(text: str | Path) -> Path:
    found = folder(text)
    if not (found / "dataset.json").is_file():
        raise typer.BadParameter(f"no dataset.json in {text}; write one by: sam3d dataset {text}")
    return found


def weights(text: str) -> str:
    return text if text == "random" else str(file(text))


def cache_folder(text: str | Path) -> Path:
    return Path(text) if str(text) == "memory" else path(text)


def refusing(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    """`read`, with ~ expanded, whose ValueError becomes that of a wrong option."""

    def parse(text: Any) -> Any:
        try:
            return read(os.path.expanduser(str(text)))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parse


def checkpoints(text: str | Path) -> list[Path]:
    """One, or those of a folder of folds, or of a package, which is checked."""
    found = path(text)
    if not found.exists() and (found.parent / FOLDS_FILE).is_file():
        parent = Path(text).parent
        raise typer.BadParameter(
            f"no file {text}: {parent} holds folds; name {parent} for all, or {parent}/fold_0/{found.name}"
        )
    try:
        if is_package(found):
            from ..packages.check_package import check_package

            return check_package(found).checkpoints
        if found.suffix == ".zip" and found.is_file():
            raise ValueError(f"{text} is packed; check and unpack it by: sam3d unpack {text}")
        return fold_checkpoints(found) if found.is_dir() else [file(text)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def all_checkpoints(given: list[list[Path]]) -> list[Path]:
    """Of an option or argument that is repeated, each time with what `checkpoints` made of it."""
    return [path for paths in given for path in paths]


class Command(TyperCommand):
    """Where it averages networks, its --checkpoint takes what a shell makes of `--checkpoint runs/*.pt`, up to the last .pt."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        several = any(CHECKPOINT in option.opts and getattr(option, "multiple", False) for option in self.params)
        return super().parse_args(ctx, [*_one_by_one(args)] if several else args)


def _one_by_one(args: Sequence[str]) -> Iterator[str]:
    """The option again before each further value."""
    after = False
    for before, word in pairwise(["", *args]):
        is_value = before == CHECKPOINT or word.startswith(f"{CHECKPOINT}=")
        if after and word.endswith(".pt") and not is_value and not word.startswith("-"):
            yield CHECKPOINT
            is_value = True
        after = is_value
        yield word


def one_or_all(files: list[Path]) -> Path | list[str]:
    """As the configs have it: one, or the list of an ensemble's."""
    return files[0] if len(files) == 1 else [*map(str, files)]


def network(name: str) -> str:
    """The name, once it means something."""
    network_configs(name)
    return name


Dataset = Annotated[Path, typer.Argument(parser=dataset_folder, metavar="DATA", help="The folder with dataset.json.")]
Checkpoint = Annotated[
    Path, typer.Option(parser=file, metavar="FILE", help="model.pt of a training run; it knows its preset and its network.")
]
Checkpoints = Annotated[
    list[Path],
    typer.Option(
        CHECKPOINT,
        parser=checkpoints,
        callback=all_checkpoints,
        metavar="FILE|FOLDER",
        help="model.pt of a training run, or the folder of a package; it knows its preset and network. Several are averaged, "
        "as is the folder of --folds.",
    ),
]
Preset = Annotated[
    Path,
    typer.Option(
        parser=refusing(preset_config),
        metavar="PRESET",
        autocompletion=lambda: list(presets()),
        help="A YAML file, or the name of one in this folder or in configs/datasets.",
    ),
]
OtherPreset = Annotated[
    Path | None,
    typer.Option(
        parser=refusing(preset_config),
        metavar="PRESET",
        autocompletion=lambda: list(presets()),
        help="Laid over what the checkpoint says; for a checkpoint that says nothing.",
    ),
]
Network = Annotated[
    str,
    typer.Option(
        parser=refusing(network),
        metavar="NAME",
        autocompletion=lambda: [OWN, *networks()],
        help="detail, detail+no_encoder without SAM's weights, another file of configs/**/networks, or a path.",
    ),
]
OtherNetwork = Annotated[
    str | None,
    typer.Option(
        "--network",
        parser=refusing(network),
        metavar="NAME",
        autocompletion=lambda: [OWN, *networks()],
        help="Of a checkpoint that does not say it; the others know theirs.",
    ),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        parser=refusing(overlay_config),
        metavar="NAME",
        autocompletion=lambda: list(overlays()),
        help="A file of configs/**/overlays, or a path; may be repeated.",
    ),
]
EncoderWeights = Annotated[
    str | None,
    typer.Option(
        parser=weights,
        metavar="PATH|random",
        help="SAM's weights, if they do not lie in models/ of the bundle. random: for tests and comparisons.",
    ),
]
Tta = Annotated[
    Literal["none", "plane", "depth", "full"] | None,
    typer.Option(
        "--tta",
        help="Test-time augmentation: also average over turned and scaled slices (plane); over the slices in reverse order "
        "(depth), for a network that was trained so; full: over both.  [default: none]",
    ),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Also write a map of the probability of each class or region beside the mask.")
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty", help="Also write maps of uncertainty: entropy, and mutual information of several networks or views."
    ),
]
Settings = Annotated[
    list[Any] | None,
    typer.Option(
        "--set",
        parser=refusing(read_setting),
        metavar="ID=VALUE",
        help='Any other id of the configs, such as batch_size=4 or spatial_size="[96, 96]"; may be repeated.',
    ),
]
FlagBelow = Annotated[
    float | None,
    typer.Option(metavar="DICE", help="After sam3d calibrate: list the cases with a structure whose predicted Dice is lower."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the line that this command stands for.")]
