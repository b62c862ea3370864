"""Arguments of `python -m MODULE` -> a process that runs it, forked from one that has imported everything.

Such a process starts in a fraction of a second: for whoever starts, and kills, many of them.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED_ONCE = (
    *("fire", "ignite.handlers", "ignite.metrics", "monai.bundle", "torch._dynamo", "torch.utils.tensorboard"),
    *(f"scripts.{floor}" for floor in ("data", "evaluation", "handlers", "inferers", "losses", "networks", "weights")),
)
BUNDLE_ROOT = Path(__file__).parents[2]

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(list(IMPORTED_ONCE))


def start_bundle(
    arguments: Sequence[object],
    log: Path,
    errors: Path | None = None,
    module: str = "monai.bundle",
    folder: Path = BUNDLE_ROOT,
    variables: Mapping[str, str] = {},
) -> BaseProcess:
    """Its exit code is that of the command.

    Args:
        arguments: after `python -m MODULE`.
        log: gets stdout at its end.
        errors: gets stderr; None: `log` does.
        module: that is run.
        folder: in which it runs.
        variables: of its environment, beside those of this process.
    """
    words = [module, *map(str, arguments)]
    process = _forking.Process(target=_run, args=(words, log.absolute(), (errors or log).absolute(), folder, dict(variables)))
    process.start()
    return process


def _run(words: list[str], log: Path, errors: Path, folder: Path, variables: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(variables)
    for descriptor, path in ((1, log), (2, errors)):
        with path.open("a") as file:
            os.dup2(file.fileno(), descriptor)
    sys.argv = words
    try:
        runpy.run_module(words[0], run_name="__main__")
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
