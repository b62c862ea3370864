"""`sam3d`: each of its commands is a function, in `tools` or, where that folder is there, in the laboratory's."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import typer
from typer.main import get_command

from scripts.run.config_files import CONFIGS
from scripts.run.plain_errors import show_plain_errors
from scripts.tools.options import Command

# In this order.
COMMANDS = (
    *("demo", "dataset", "preset", "train", "evaluate", "calibrate", "segment", "serve-dicom", "report"),
    *("export", "package", "unpack", "compare", "cache", "merge", "download", "info"),
)
FOLDERS = ("tools", "research/tools")
INTERRUPTION = 130  # what typer makes of a KeyboardInterrupt

app = typer.Typer(
    name="sam3d",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes cut the examples
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


@app.callback()
def sam3d() -> None:
    """Train a 3-D segmenter on your own volumes: from a folder of scans to masks.

    \b
        sam3d demo                                       generated data, all steps in a few minutes
        sam3d dataset DATA                               your scans and labels: a checked list of cases
        sam3d preset DATA                                settings that fit them, each with its reason: mine.yaml
        sam3d train DATA --preset mine --cached          runs/mine/model.pt
        sam3d segment SCANS --checkpoint runs/mine/model.pt
    """


def find_command(name: str) -> Callable[..., None] | None:
    """None where the laboratory is not there."""
    name = name.replace("-", "_")
    for folder in FOLDERS:
        if (Path(__file__).parent / folder / f"{name}.py").is_file():
            return getattr(import_module(f"scripts.{folder.replace('/', '.')}.{name}"), name)
    return None


for name in COMMANDS:
    if command := find_command(name):
        app.command(name, cls=Command)(command)


def main() -> None:
    """Exit codes: 1 after an error, or where a case was refused; 2 for wrong usage; 130 after SIGINT and 143 after SIGTERM."""
    # torch's threads sleep while they wait for each other: awake, they would take the cores from other programs. Read once,
    # when torch is imported, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    show_plain_errors()
    if not CONFIGS.is_dir():
        sys.exit(f"no configs at {CONFIGS}; install the bundle, in its folder, by: pip install --no-deps --editable .")
    try:
        get_command(app)()
    except SystemExit as end:
        if end.code == INTERRUPTION:
            raise KeyboardInterrupt from end
        raise


if __name__ == "__main__":
    main()
