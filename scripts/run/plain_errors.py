"""An uncaught error -> its one sentence, in place of the config parser's pages of traceback."""

import atexit
import json
import os
import re
import signal
import sys
import sysconfig
from ast import literal_eval
from collections.abc import Iterator
from dis import opmap
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from .end_on_signal import end_on_signals

PACKAGE = Path(__file__).parents[1]
CONFIGS = PACKAGE.parent / "configs"
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
EXPRESSION = "<string>"  # what Python takes for the file of an expression in a config
SWITCH = "SAM3D_TRACEBACK"
MEMORY = "memory ran out; lower batch_size, num_workers, roi_depth or spatial_size (docs/scale.md)"
INTERRUPTED = "interrupted: what was written is whole; the same command goes on, a training run with --resume"


def show_plain_errors() -> None:
    """From now on, whatever ends this process is shown as one sentence: a refusal, a mistake in a config, or a bug.

    So is an interruption by the user; SIGTERM ends the process as orderly. With SAM3D_TRACEBACK=1 in the environment errors
    keep their traceback. Exit codes: 1 after an error; 130 after SIGINT and 143 after SIGTERM, as shells have it.

    Example:
        >>> import subprocess, sys
        >>> from scripts.run.plain_errors import PACKAGE
        >>> imports = "from scripts.run.plain_errors import show_plain_errors; from scripts.weights import load_checkpoint"
        >>> code = f"{imports}; show_plain_errors(); load_checkpoint(None, 'model.pt')"
        >>> ended = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
        >>> ended.returncode, ended.stderr.splitlines()[-2]
        (1, 'ERROR: no checkpoint at model.pt; train one first, or correct the path')
    """
    end_on_signals()
    interrupted: list[BaseException] = []
    atexit.register(_end_as_interrupted, interrupted)
    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.environ.get(SWITCH) == "1":
            previous(kind, error, trace)
        elif isinstance(error, KeyboardInterrupt):
            sys.stderr.write(f"\n{plain_sentence(error)}\n")
            interrupted.append(error)
        else:
            sys.stderr.write(f"\nERROR: {plain_sentence(error)}\n(the whole traceback: {SWITCH}=1)\n")

    sys.excepthook = show


def _end_as_interrupted(interrupted: list[BaseException]) -> None:
    """By the signal, so that a shell's loop ends too. Python does so itself, but not where code is evaluated while it ends."""
    if interrupted and os.name == "posix":
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


class Link(NamedTuple):
    """One exception of a chain. places: file and line, innermost last; said: whether a `raise` of this package raised it."""

    places: list[tuple[str, int]]
    said: bool
    kind: str
    message: str


def plain_sentence(error: BaseException) -> str:
    """The message of the last error in the chain of causes that this package raised itself.

    If it raised none: what failed and where, in the user's own code or configuration; else that it is a bug.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    chain = list(_links(error))
    for link in chain:
        if link.said:
            return re.sub(r"^\[Errno \d+\] ", "", link.message)
    if any(link.kind.endswith(("MemoryError", "OutOfMemoryError")) or "killed by signal" in link.message for link in chain):
        return MEMORY
    cause = chain[-1]
    what = ": ".join([cause.kind, *cause.message.strip().splitlines()[:1]])
    file, line = next((place for place in reversed(cause.places) if not _is_library(place[0])), (EXPRESSION, 0))
    if file == EXPRESSION:
        part = next((found for link in reversed(chain) if (found := _part_of_config(link.message))), None)
        if part and not _is_ours(part):
            return f"{part} of the configuration failed: {what}"
        where = part or "{}, line {}".format(*cause.places[-1] if cause.places else (EXPRESSION, 0))
    elif PACKAGE not in Path(file).parents:
        return f"{file}, line {line}, failed: {what}"
    else:
        where = f"{file}, line {line}"
    if found := re.match(r"\[Errno \d+\] (.+)", cause.message):
        return f"{found[1]}; make sure that it is there, and that you may read and write it"
    return (
        f"{what} ({where}). No rule foresaw this: it is a bug of the bundle. Please report it, with the command and what it "
        f"says with {SWITCH}=1 in the environment. Nothing half-written was left"
    )


def _links(error: BaseException | None) -> Iterator[Link]:
    """The last exception first."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        if links := list(_links_in(str(error))) if "DataLoader worker" in str(error) else []:  # it sends its error as text
            yield from reversed(links)
            return
        places, said, trace = [], False, error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append((code.co_filename, trace.tb_lineno))
            raised = code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]
            said = raised and PACKAGE in Path(code.co_filename).parents and not isinstance(error, AssertionError)
            trace = trace.tb_next
        yield Link(places, said, type(error).__name__, str(error))
        error = error.__cause__ or error.__context__


def _links_in(text: str) -> Iterator[Link]:
    """The first exception first."""
    for block in re.split(r"^Traceback.*$|^Original Traceback.*$", text, flags=re.MULTILINE)[1:]:
        frames = re.findall(r'^  File "(.+)", line (\d+), in .*\n(?:    (.*))?', block, re.MULTILINE)
        found = re.search(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", block, re.MULTILINE)
        if frames and found:
            said = frames[-1][2].startswith("raise ") and PACKAGE in Path(frames[-1][0]).parents
            yield Link([(file, int(line)) for file, line, _ in frames], said, found[1].rpartition(".")[2], found[2] or "")


def _is_library(file: str) -> bool:
    return file.startswith(("<frozen", *LIBRARIES))


def _part_of_config(message: str) -> str | None:
    """The expression or component that MONAI names in its own errors."""
    if found := re.match(r"Failed to instantiate component '(.+?)'", message):
        return found[1]
    if found := re.match(r"Failed to evaluate \w+: \n(.+)", message, re.DOTALL):
        return re.sub(r"__local_refs\['(.+?)'\]", r"@\1", literal_eval(found[1]))
    return None


def _is_ours(part: str) -> bool:
    """Whether an expression stands so in a config of the bundle."""
    texts = (path.read_text() for path in CONFIGS.rglob("*") if path.suffix in (".json", ".yaml"))
    return part.startswith("$") and any(part in text or json.dumps(part)[1:-1] in text for text in texts)
