"""An output folder -> the files in it that have their final name and cannot be read."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
from safetensors.torch import load_file

from .checkpoint_file import read_checkpoint

READERS: dict[str, Callable[[Path], object]] = {
    ".pt": read_checkpoint,
    ".json": lambda path: json.loads(path.read_text()),
    ".csv": lambda path: path.read_text(),
    ".gz": lambda path: nib.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes())).get_fdata(),  # with gzip's checksum
    ".safetensors": load_file,
}


def unreadable_files(folder: Path) -> Iterator[str]:
    """Name and reason of each, subfolders included; files being written and TensorBoard's, which only grow, are left out."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in READERS and not path.name.startswith("."):
            try:
                READERS[path.suffix](path)
            except Exception as error:  # whatever a reader raises is what is looked for
                yield f"{path.relative_to(folder)}: {error}"
