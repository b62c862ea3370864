"""Transforms -> a digest of all that their result depends on, besides the data."""

import io
import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import monai
import nibabel as nib
import torch
from monai.transforms import Compose

from ...files.file_digest import digest
from .per_channel import PerChanneld

PACKAGE = __name__.partition(".")[0]
SCRIPTS = Path(__file__).parents[2]
READING = (SCRIPTS / "basics", SCRIPTS / "data" / "formats", SCRIPTS / "data" / "cases")  # the code that reads files


def preprocessing_digest(transforms: Iterable[Any], *more: Any) -> str:
    """Covers every parameter of the transforms, the code of their classes and of `more` objects, with what that inherits and
    imports from this package, and the libraries' versions.

    A function handed to a transform is known by its name alone. Digest before their first use, which may leave something
    behind in them.
    """
    steps = list(_flat(transforms))
    sources = _sources({kind for part in [*steps, *more] for kind in type(part).__mro__})
    reading = {str(path) for folder in READING for path in folder.glob("*.py")}
    code = [Path(source).read_bytes() for source in sorted(sources | reading)]
    versions = f"MONAI {monai.__version__}, torch {torch.__version__}, nibabel {nib.__version__}"
    return digest(versions, *code, _pickled(steps))


def _sources(kinds: Iterable[type]) -> set[str]:
    """The files in which classes are written, and those of this package from which what is written there takes parts."""
    found: set[str] = set()
    waiting = {kind.__module__ for kind in kinds}
    while waiting:
        module = sys.modules[waiting.pop()]
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and file not in found:
            found.add(file)
            taken = {getattr(value, "__module__", None) for value in vars(module).values()}
            waiting |= {name for name in taken if isinstance(name, str) and name.startswith(f"{PACKAGE}.")}
    return found


def _flat(transforms: Iterable[Any]) -> Iterator[Any]:
    """With the parts of those that have some. A Compose holds a random state of its own."""
    for transform in transforms:
        if type(transform) is not Compose:
            yield transform
        if isinstance(transform, Compose | PerChanneld):
            yield from _flat(transform.transforms)


def _pickled(transforms: Any) -> bytes:
    """All parameters of the transforms, the same in every process."""
    buffer = io.BytesIO()
    pickler = _ByValue(buffer)
    pickler.fast = True  # no memo, which would depend on which equal strings are one object
    try:
        pickler.dump(transforms)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"the transforms of cached embeddings must be picklable, to tell when they change: {error}") from error
    return buffer.getvalue()


class _ByValue(pickle.Pickler):
    """Tensors by their numbers: torch would write the address of their memory too."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, torch.Tensor):
            return str, (f"{thing.dtype} {thing.tolist()}",)
        return NotImplemented
