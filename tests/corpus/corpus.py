"""A folder -> the whole corpus of bad and odd images in it."""

from collections.abc import Iterable
from pathlib import Path

from . import damaged, dicom, geometry, healthy, itk, names, pairs, shapes, trees
from .corpus_case import CorpusCase

IMAGES: list[CorpusCase] = [
    case for module in (healthy, damaged, shapes, geometry, itk, pairs, dicom, names, trees) for case in module.CASES
]


def write_corpus(folder: Path, cases: Iterable[CorpusCase] = IMAGES) -> None:
    for case in cases:
        path = folder / case.path
        path.parent.mkdir(parents=True, exist_ok=True)
        case.write(path)
