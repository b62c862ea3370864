"""Names that shells, consoles, configs and file systems stumble over, and entries of a folder that are no plain file."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scripts.data.masks.mask_records import SOFTWARE

from .corpus_case import LEFT_OUT, REFUSED, WRITTEN, CorpusCase
from .itk import meta, nrrd
from .nifti import PLAIN, VOXELS, image, put, raw

OUTSIDE = "elsewhere"  # beside the folder of images
LONGEST = 255 - len("_seg.nii.gz")  # bytes, so that the mask's name fits
NOT_UTF8 = os.fsdecode(b"caf\xe9")  # Latin-1
LABEL = image((VOXELS > 900).astype(np.uint8)).to_bytes()

ORDINARY_ENOUGH = (
    "with spaces",
    " leading and trailing ",
    "quote's",
    'double "quotes"',
    "back\\slash",
    "$(touch pwned)",
    "`touch pwned`",
    "a; touch pwned",
    "$__import__('os').system('touch pwned')",
    "$import os",
    "$@network",
    "@network",
    "@output_dir",
    "%network",
    "%inference",
    "#1",
    "{case}",
    "%s %d %(name)s",
    "*",
    "[a-z]?",
    "-rf",
    "--help",
    "~",
    "a,b",
    "a:b",
    "a..b",
    "Hüfte rechts",
    "Hu\u0308fte rechts",  # the same, decomposed
    "肝臓",
    "كبد",
    "🫀",
    "\u202egnp",  # written from right to left
    "zero\u200bwidth",
    "line\nbreak",
    "carriage\rreturn",
    "tab\there",
    "\x1b[31mred",
    NOT_UTF8,
    os.fsdecode(b"\xff\xfe"),
    "x" * LONGEST,
    "é" * (LONGEST // 2),
    "nul",
    "scan.nii.gz",  # twice the suffix
    "scan.tar",
    "report",
    "con_seg",
)


def _link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def _beside(name: str, data: bytes) -> Callable[[Path], object]:
    """A link to a file outside the folder of images, the third folder above."""

    def write(path: Path) -> None:
        outside = path.parents[2] / OUTSIDE
        outside.mkdir(exist_ok=True)
        (outside / name).write_bytes(data)
        path.symlink_to(Path("../..") / OUTSIDE / name)

    return write


def _own_mask(path: Path) -> None:
    put(LABEL)(path)
    path.with_name("of_an_earlier_run_seg.json").write_text(json.dumps({"software": SOFTWARE}))


def _listed_label(path: Path) -> None:
    put(LABEL)(path)
    folder = path.parents[1]
    entry = {"image": "./names/plain.nii.gz", "label": f"./{path.relative_to(folder)}"}
    (folder / "dataset.json").write_text(json.dumps({"training": [entry], "labels": {"1": "$@network"}}))


INSIDE, OWN_NAME, EXISTS = "must lie inside", "not overwrite each other", "must be a file"

REFUSALS = {
    "y" * (LONGEST + 1) + ".nii.gz": (put(PLAIN), "255 bytes"),
    "ö" * (LONGEST // 2 + 1) + ".nii.gz": (put(PLAIN), "255 bytes"),
    "collision/a.nii": (put(PLAIN), OWN_NAME),
    "collision/a.nii.gz": (put(PLAIN), OWN_NAME),
    "collision/a.mha": (raw(meta()), OWN_NAME),
    "collision/a.NRRD": (raw(nrrd()), OWN_NAME),
    "link_out.nii.gz": (_beside("scan.nii.gz", PLAIN), INSIDE),
    "link_to_passwords.nii": (_link("/etc/passwd"), INSIDE),
    "link_to_zeros.nii": (_link("/dev/zero"), INSIDE),
    "link_out_to_nothing.nii.gz": (_link("/nonexistent/scan.nii.gz"), INSIDE),
    "link_to_nothing.nii.gz": (_link("nothing.nii.gz"), EXISTS),
    "link_to_itself.nii.gz": (_link("link_to_itself.nii.gz"), EXISTS),
    "pipe.nii.gz": (os.mkfifo, EXISTS),
    "pipe_2.nii": (os.mkfifo, EXISTS),
    "pipe_3.nrrd": (os.mkfifo, EXISTS),
    "Mixed_Case.Nii": (put(PLAIN), "suffix"),
    f"{NOT_UTF8} cut.nii.gz": (raw(b"\x1f\x8b"), "whole"),
    f"{NOT_UTF8} 1.nrrd": (raw(nrrd()), "UTF-8"),
    f"{NOT_UTF8} 2.mha": (raw(meta()), "UTF-8"),
    "line\nbreak, empty.nii.gz": (raw(b""), "whole"),
    "\x1b[31mred, empty.nii": (raw(b""), "whole"),
    "%s {} %(x)s, empty.nii": (raw(b""), "whole"),
}


def _with_notes(path: Path) -> None:
    """As converters from DICOM write them beside every image."""
    put(PLAIN)(path)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text('{"Modality": "MR"}')


NO_IMAGES = {
    ".hidden.nii.gz": put(PLAIN),
    "._plain.nii.gz": raw(b"\0\5\x16\7\0\2\0\0Mac OS X        "),
    ".nii.gz": put(PLAIN),
    ".hidden/scan.nii.gz": put(PLAIN),
    "a_folder.nii.gz/": lambda path: path.mkdir(),
    "of_an_earlier_run_seg.nii.gz": _own_mask,
    "a_label_of_the_dataset.nii.gz": _listed_label,
    "scan.nii.gz.part": raw(PLAIN[:100]),
    "scan.nii.bz2": raw(b"BZh"),
    "scan.npy": raw(b"\x93NUMPY"),
    "Thumbs.db": raw(b"\0"),
    f"{NOT_UTF8}.txt": raw(b"text"),
    " \n\x1b[31m.txt": raw(b"text"),
}

CASES = [
    CorpusCase("names/plain.nii.gz", WRITTEN, put(PLAIN), same=True),
    *(CorpusCase(f"names/{name}.nii.gz", WRITTEN, put(PLAIN), same=True) for name in ORDINARY_ENOUGH),
    CorpusCase("names/$__import__('os')/@network/%x.nii.gz", WRITTEN, put(PLAIN), same=True),
    CorpusCase("names/a_folder_named.nii.gz/scan.nii.gz", WRITTEN, put(PLAIN), same=True),
    CorpusCase("names/notes_beside_it_seg.nii.gz", WRITTEN, _with_notes, same=True),
    CorpusCase("names/link_inside.nii.gz", WRITTEN, _link("plain.nii.gz"), same=True),
    *(CorpusCase(f"names/{name}", REFUSED, write, rule) for name, (write, rule) in REFUSALS.items()),
    *(CorpusCase(f"names/{name}", LEFT_OUT, write) for name, write in NO_IMAGES.items()),
]
