"""An uncaught error of this bundle -> its one sentence, in place of the config parser's pages of traceback."""

import atexit
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType

from .end_on_signal import end_on_signals

PACKAGE = Path(__file__).parents[1]
SWITCH = "SAM3D_TRACEBACK"
INTERRUPTED = "interrupted: what was written is whole; the same command goes on, a training run with --resume"


def show_plain_errors() -> None:
    """From now on, what ends this process and was raised, or caused, by the bundle's own code is shown as one sentence.

    So is an interruption by the user; SIGTERM ends the process as orderly. Other errors keep their traceback; with
    SAM3D_TRACEBACK=1 in the environment all do. Exit codes: 1 after an error; 130 after SIGINT and 143 after SIGTERM, as shells
    have it.

    Example:
        >>> import subprocess, sys
        >>> from scripts.run.plain_errors import PACKAGE
        >>> imports = "from scripts.run.plain_errors import show_plain_errors; from scripts.weights import load_checkpoint"
        >>> code = f"{imports}; show_plain_errors(); load_checkpoint(None, 'model.pt')"
        >>> ended = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
        >>> ended.returncode, ended.stderr.splitlines()[-2]
        (1, 'ERROR: no checkpoint at model.pt; train one first or give --checkpoint PATH')
    """
    end_on_signals()
    interrupted: list[BaseException] = []
    atexit.register(_end_as_interrupted, interrupted)
    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sentence = None if os.environ.get(SWITCH) == "1" else plain_sentence(error)
        if sentence is None:
            previous(kind, error, trace)
        elif isinstance(error, KeyboardInterrupt):
            sys.stderr.write(f"\n{sentence}\n")
            interrupted.append(error)
        else:
            sys.stderr.write(f"\nERROR: {sentence}\n(the whole traceback: {SWITCH}=1)\n")

    sys.excepthook = show


def _end_as_interrupted(interrupted: list[BaseException]) -> None:
    """By the signal, so that a shell's loop ends too. Python does so itself, but not where code is evaluated while it ends."""
    if interrupted and os.name == "posix":
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def plain_sentence(error: BaseException) -> str | None:
    """The message of the last error in the chain of causes that this package raised itself; None if it raised none."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for cause in chain:
        frames = traceback.extract_tb(cause.__traceback__)
        if frames and PACKAGE in Path(frames[-1].filename).parents:
            return re.sub(r"^\[Errno \d+\] ", "", str(cause))
        # A loader's worker sends its error as text.
        if "DataLoader worker" in str(cause) and (found := re.search(r"^scripts\.\S+: (.+)$", str(cause), re.MULTILINE)):
            return found.group(1)
    return None
