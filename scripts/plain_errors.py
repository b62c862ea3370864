"""An uncaught error of this bundle -> its one sentence, in place of the config parser's pages of traceback."""

import os
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType

PACKAGE = Path(__file__).parent
SWITCH = "SAM3D_TRACEBACK"


def show_plain_errors() -> None:
    """From now on, what ends this process and was raised, or caused, by the bundle's own code is shown as one sentence.

    Other errors keep their traceback; with SAM3D_TRACEBACK=1 in the environment all do. The exit code stays 1.
    """
    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sentence = None if os.environ.get(SWITCH) == "1" else plain_sentence(error)
        if sentence is None:
            previous(kind, error, trace)
        else:
            sys.stderr.write(f"\nERROR: {sentence}\n(the whole traceback: {SWITCH}=1)\n")

    sys.excepthook = show


def plain_sentence(error: BaseException) -> str | None:
    """The message of the first error in the chain of causes that this package raised itself; None if it raised none."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for cause in reversed(chain):
        frames = traceback.extract_tb(cause.__traceback__)
        if frames and PACKAGE in Path(frames[-1].filename).parents:
            return str(cause)
        # A loader's worker sends its error as text.
        if "DataLoader worker" in str(cause) and (found := re.search(r"^scripts\.\S+: (.+)$", str(cause), re.MULTILINE)):
            return found.group(1)
    return None
