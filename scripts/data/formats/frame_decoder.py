"""Frames that are compressed as JPEG and its relatives -> their pixels, decoded in a child process."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from time import monotonic
from typing import IO, Self

import numpy as np
from pydicom import Dataset, dcmwrite

PROGRAM = Path(__file__).with_name("decode_frames.py")
SECONDS = 120  # for one frame, which takes thousandths of a second: so long waits nobody whose machine is busy


class FrameDecoder:
    """A context in which frames are decoded; the child starts with the first, and serves all files of a series.

    ITK decodes, by GDCM, the library beneath it. That is written in C++ and meets bytes that may be damaged or forged: it may
    end its process, take all memory or never return, so that process is not this one.
    """

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.folder.cleanup()

    def decode(self, frame: Dataset) -> np.ndarray:
        """frame: a DICOM file of one frame. -> (rows, columns) as stored; ValueError says why they cannot be decoded."""
        child = self._started()
        dcmwrite(self.file, frame, enforce_file_format=True)
        assert child.stdin is not None and child.stdout is not None
        begin, late = monotonic(), Timer(SECONDS, child.kill)
        late.start()
        try:
            child.stdin.write(b"\n")
            child.stdin.flush()
            pixels = _answer(child.stdout)
        except (BrokenPipeError, EOFError):
            raise ValueError(f"their decoder {_end(child.wait(), monotonic() - begin)}") from None
        finally:
            late.cancel()
        if not pixels.size:
            raise ValueError("they cannot be decoded")
        return pixels

    def _started(self) -> subprocess.Popen[bytes]:
        if self.child is None:
            self.folder = TemporaryDirectory()
            self.file = Path(self.folder.name) / "frame.dcm"
            self.child = subprocess.Popen(  # noqa: S603, it is our own program
                [sys.executable, "-P", PROGRAM, self.file],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what a decoder says names no file
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # threads reserve memory
            )
        return self.child


def _answer(stream: IO[bytes]) -> np.ndarray:
    if not (line := stream.readline()):
        raise EOFError
    rows, columns = map(int, line.split())
    data = stream.read(8 * rows * columns)
    if len(data) < 8 * rows * columns:
        raise EOFError
    return np.frombuffer(data).reshape(rows, columns)


def _end(code: int, seconds: float) -> str:
    if seconds >= SECONDS:
        return f"did not return within {SECONDS} s"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
