"""Generated phantoms -> a trained network, masks of phantoms that it has not seen, metrics and a picture, by three commands."""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..run.config_files import BUNDLE_ROOT
from . import options
from .run_bundle import shown

CASES = {"training": 16, "validation": 2, "test": 6}
WORST_MEAN_DICE = 0.85
PARTS = ("phantoms", "training", "masks", "evaluation")
MARKER = ".sam3d_demo"


def demo(
    output: Annotated[
        Path, typer.Option(parser=options.path, metavar="FOLDER", help="An earlier demo in it is removed.")
    ] = Path("demo"),
    max_epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="In place of the 8 of the preset.")] = None,
) -> None:
    """Generate data, train, segment and evaluate: all in a few minutes.

    \b
        sam3d demo
        sam3d demo --output /tmp/demo

    SAM's ViT-B encoder is filled with random weights, so nothing is downloaded. Exit code 1 if the mean Dice on the unseen
    phantoms is below 0.85.
    """
    from ..data.phantoms import write_phantoms

    start = time.monotonic()
    _empty(output)
    data, checkpoint = output / "phantoms", output / "training" / "model.pt"
    write_phantoms(data, CASES)
    epochs = [] if max_epochs is None else ["--max-epochs", str(max_epochs)]
    trained = ("--preset", "phantoms", "--cached", "--encoder-weights", "random", *epochs)
    _run("train", data, *trained, "--output", checkpoint.parent)
    _run("segment", data / "dataset.json", "--checkpoint", checkpoint, "--output", output / "masks")
    _run("evaluate", data, "--part", "test", "--checkpoint", checkpoint, "--output", output / "evaluation")
    mean_dice = json.loads((output / "evaluation" / "metrics.json").read_text())["mean_dice"]
    print(
        f"\nDone in {time.monotonic() - start:.0f} s, with a RANDOM encoder (SAM's weights are not needed here).\n"
        f"  masks of unseen phantoms   {shown(output / 'masks')}\n"
        f"  metrics                    {shown(output / 'evaluation' / 'metrics.csv')} (summary: metrics.json)\n"
        f"  report with a viewer       {shown(output / 'evaluation' / 'report.html')}\n"
        f"  mean Dice on {CASES['test']} unseen phantoms: {mean_dice:.3f}"
    )
    if mean_dice < WORST_MEAN_DICE:
        raise ValueError(f"the mean Dice is below {WORST_MEAN_DICE}: something is wrong with this installation")


def _empty(folder: Path) -> None:
    """Raises BadParameter for a folder that holds anything but an earlier demo."""
    if (folder / MARKER).exists():
        for part in PARTS:
            shutil.rmtree(folder / part, ignore_errors=True)
    elif folder.exists() and any(folder.iterdir()):
        raise typer.BadParameter(f"{folder} is not empty and holds no earlier demo", param_hint="--output")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("made by sam3d demo, which removes its folders here when it runs again\n")


def _run(*words: str | Path) -> None:
    """A command of `sam3d`, printed as a user would type it; ends the demo where it fails, with its exit code."""
    print(f"\n$ sam3d {shlex.join(map(shown, words))}", flush=True)
    command = [sys.executable, "-m", "scripts", *map(str, words)]
    if code := subprocess.run(command, cwd=BUNDLE_ROOT).returncode:
        raise typer.Exit(code)
