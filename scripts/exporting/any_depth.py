"""A part of a network -> a program of torch.export for its plane and any depth."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram
from torch.utils._sympy.numbers import int_oo

from .exported_part import ExportedPart

DEPTH = "depth"  # what the free axis is called in the file


def record(part: ExportedPart, example: torch.Tensor) -> ExportedProgram:
    """The program of a part, which takes as many slices as it is given.

    The axis has a name: `Dim.AUTO` would let the network fix its length without a word. `torch.export` refuses one that the
    network's code fixes, and the range of lengths is looked at once more.

    Args:
        part: of the network.
        example: what it is given, (1, C, h, w, D).

    Raises:
        ValueError: for a network that cannot be recorded so.
    """
    with quiet(), torch.no_grad():
        try:
            program = torch.export.export(part.module, (example,), dynamic_shapes=({4: Dim(DEPTH, min=1)},))
        except Exception as error:  # whatever torch.export meets in a network's code
            raise not_recorded(part, error) from error
    ranges = [(limits.lower, limits.upper) for limits in program.range_constraints.values()]
    if ranges != [(1, int_oo)]:
        raise ValueError(f"the depth of the exported network must be free, and torch.export limits it to {ranges}")
    return program


def not_recorded(part: ExportedPart, error: Exception) -> ValueError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return ValueError(
        f"{type(part.module).__name__} cannot be exported with a free depth ({reason}); SAM-3D and its detail path can, "
        "other networks are run by sam3d segment"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporters say about themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
