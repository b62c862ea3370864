"""Arguments of `python -m monai.bundle` -> a process that runs it, forked from one that has imported everything.

Such a process starts in a fraction of a second: for whoever starts, and kills, many of them.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED_ONCE = (
    *("fire", "ignite.handlers", "ignite.metrics", "monai.bundle", "torch._dynamo", "torch.utils.tensorboard"),
    *(f"scripts.{floor}" for floor in ("data", "evaluation", "handlers", "inferers", "losses", "networks", "weights")),
)
BUNDLE_ROOT = Path(__file__).parents[2]

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(list(IMPORTED_ONCE))


def start_bundle(arguments: Sequence[object], log: Path, errors: Path | None = None) -> BaseProcess:
    """Runs in the bundle's folder; stdout is appended to `log`, stderr to `errors`, or to `log` too if that is None.

    Its exit code is that of the command.
    """
    words = [str(argument) for argument in arguments]
    process = _forking.Process(target=_run, args=(words, log.absolute(), (errors or log).absolute()))
    process.start()
    return process


def _run(arguments: list[str], log: Path, errors: Path) -> None:
    os.chdir(BUNDLE_ROOT)
    for descriptor, path in ((1, log), (2, errors)):
        with path.open("a") as file:
            os.dup2(file.fileno(), descriptor)
    sys.argv = ["monai.bundle", *arguments]
    try:
        runpy.run_module("monai.bundle", run_name="__main__")
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
