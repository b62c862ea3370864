"""A dataset folder -> a preset to lay over train.json, with the reason for each number."""

from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import BUNDLE_ROOT
from ..run.models_folder import models_folder
from . import options
from .run_bundle import say_next, shown


def new_preset(text: str | Path) -> Path:
    found = options.path(text)
    if found.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"the preset must be a .yaml file, got {text}")
    if found.exists():
        raise typer.BadParameter(f"{text} is there already and may have been edited; remove it or choose another --output")
    return found


def preset(
    data: options.Dataset,
    output: Annotated[Path, typer.Option(parser=new_preset, metavar="FILE", help="The preset.")] = Path("mine.yaml"),
) -> None:
    """Propose settings for a dataset, each with its reason.

    \b
        sam3d preset DATA
        sam3d preset DATA --output liver.yaml
    """
    from ..data.onboarding.measure_dataset import measure_dataset
    from ..data.onboarding.propose_preset import propose_preset
    from ..files.atomic_write import atomic_write

    network, reason = proposed_network()
    text = propose_preset(measure_dataset(data), network)
    with atomic_write(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{text}\nwrote {shown(output)}; read it and change what you know better\n--network {network}: {reason}")
    say_next(("train", data, "--preset", output, "--network", network, "--cached"))


def proposed_network() -> tuple[str, str]:
    """With the reason."""
    detail = "it sees the pixels beside their embeddings, which beat embeddings alone wherever it was measured"
    if any(Path(models_folder(BUNDLE_ROOT)).glob("sam_vit_*.pth")):
        return "detail", detail
    reason = "there are no SAM weights in models (sam3d download), and it needs none; random ones would help nothing"
    return "detail+no_encoder", reason
