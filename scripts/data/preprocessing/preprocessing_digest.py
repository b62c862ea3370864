"""Transforms -> a digest of all that their result depends on, besides the data."""

import inspect
import io
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import monai
import nibabel as nib
import torch
from monai.transforms import Compose

from ...files.file_digest import digest
from .per_channel import PerChanneld

SCRIPTS = Path(__file__).parents[2]
READING = (SCRIPTS / "basics", SCRIPTS / "data" / "formats", SCRIPTS / "data" / "cases")  # the code that reads files


def preprocessing_digest(transforms: Iterable[Any], *more: Any) -> str:
    """Covers every parameter of the transforms, the code of their classes and of `more` objects, and the libraries' versions.

    A function handed to a transform is known by its name alone. Digest before their first use, which may leave something
    behind in them.
    """
    steps = list(_flat(transforms))
    sources = {source for part in [*steps, *more] if (source := inspect.getsourcefile(type(part)))}
    reading = {str(path) for folder in READING for path in folder.glob("*.py")}
    code = [Path(source).read_bytes() for source in sorted(sources | reading)]
    versions = f"MONAI {monai.__version__}, torch {torch.__version__}, nibabel {nib.__version__}"
    return digest(versions, *code, _pickled(steps))


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
