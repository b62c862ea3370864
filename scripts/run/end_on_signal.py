"""SIGTERM -> the orderly end that an error brings too: temporary files are removed, bars and loaders closed; exit code 143."""

import os
import signal
import sys
import threading
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM  # what a shell reports of a process that the signal killed
SENTENCE = b"\nended by SIGTERM: what was written is whole; the same command goes on, a training run with --resume\n"
SOON = 0.01  # seconds


def end_on_signals() -> None:
    """Does nothing where the program around us ends in its own way, or calls from a thread that cannot change it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        _end_on_sigterm()
        if hasattr(signal, "setitimer"):
            _end_even_while_something_is_deleted()


def _end_on_sigterm() -> None:
    this_process = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != this_process:
            os._exit(0)  # a loader's forked worker: what remains to be done is its parent's
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
        if hasattr(signal, "SIGCHLD"):  # where a scheduler ended the loader's workers too, torch would take that for an error
            signal.signal(signal.SIGCHLD, lambda *_: None)
        os.write(2, SENTENCE)  # not through sys.stderr, which may be in use at this moment
        raise SystemExit(EXIT_CODE)

    signal.signal(signal.SIGTERM, end)

    def leave_interruptions_to_the_parent() -> None:  # Ctrl-C reaches workers too: one that just begins would show a traceback
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=leave_interruptions_to_the_parent)


def _end_even_while_something_is_deleted() -> None:
    """Python ignores what is raised in a `__del__`, and a loader waits for its workers in its own: raise it again, outside."""
    previous = sys.unraisablehook

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if not isinstance(ignored.exc_value, SystemExit | KeyboardInterrupt):
            if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:  # a loader that is ended while it starts complains of itself
                previous(ignored)
            return
        end = type(ignored.exc_value)(*ignored.exc_value.args)

        def raise_again(number: int, frame: FrameType | None) -> None:
            raise end

        signal.signal(signal.SIGALRM, raise_again)
        signal.setitimer(signal.ITIMER_REAL, SOON)

    sys.unraisablehook = again
