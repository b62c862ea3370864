"""A program: compressed frames, one after the other -> their pixels. Whatever a damaged frame does to it ends it alone.

Run by its path, so that none of this package is imported: it starts in a fraction of a second. For each line of its input it
decodes the file FRAME, and answers with a line of rows and columns, 0 0 where it cannot, and as many float64.
"""

import os
import sys
from contextlib import suppress

import numpy as np
import SimpleITK as sitk

MEMORY = 4 << 30  # bytes, far above what a frame takes: a forged size must not take the machine's


def main(frame: str) -> None:
    _limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a decoder prints is no answer
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(sitk.sitkFloat64)
    reader.SetFileName(frame)
    for _ in sys.stdin:
        try:
            pixels = np.squeeze(sitk.GetArrayFromImage(reader.Execute()), 0)
        except (RuntimeError, ValueError):
            pixels = np.empty((0, 0))
        answers.write(b"%d %d\n" % pixels.shape)
        answers.write(pixels.tobytes())
        answers.flush()


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # a system without limits, and a limit below this one
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main(sys.argv[1])
