"""The training cases of a dataset -> their sizes, spacings and intensities, as a preset is proposed from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from ...basics.case import Case, Listed, file_of
from ...basics.geometry import spacing_of
from ..cases.case_error import CaseError
from ..cases.datalist import read_datalist, read_json
from ..cases.label_values import is_ignored
from ..cases.open_case import headers_of, open_case
from ..cases.read_case import ReadCased
from .label_names import modalities_of, name_values, names_of

SAMPLE = 20  # cases whose voxels are read
VOXELS = 100_000  # drawn from each of them
CT = re.compile(r"(?<![a-z])(ce|nc|ld|cb)?cta?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """shapes, spacings: (cases, 3), in voxels and mm, along R, A and S, however the files are stored."""

    name: str
    labels: dict[str, str]
    ignore_label: list[int]  # values that dataset.json calls `ignore`
    modalities: list[str]  # a name for each channel
    shapes: np.ndarray
    spacings: np.ndarray
    sampled: int  # cases
    minimum: float  # of a case, the median
    is_whole: bool  # every sampled voxel is a whole number
    foreground: tuple[float, float]  # 0.5 and 99.5 percentile of the voxels under the labels

    @property
    def is_ct(self) -> bool:
        """By the modalities' names, or by air (-1000 HU) in whole numbers."""
        return all(CT.search(name) for name in self.modalities) or (self.minimum < -500 and self.is_whole)


def measure_dataset(dataset_dir: str | Path, seed: int = 0) -> Measured:
    """Reads the headers of all training cases, and the voxels of up to `SAMPLE` of them.

    Raises CaseError or FileNotFoundError; of several bad cases it names all.
    """
    path = Path(dataset_dir).absolute() / "dataset.json"
    content = read_json(path)
    try:
        names = names_of(content)
        ignore_label = [value for value, name in names.items() if is_ignored(name)]
        labels = name_values(names.keys() - {*ignore_label}, names)
    except ValueError as error:
        remedy = "correct it, or let `sam3d dataset` write it"
        raise CaseError(str(path), "'labels' must name the values in the label files", str(error), remedy) from error
    cases = _opened(read_datalist(dataset_dir)["training"])
    shapes, spacings = _grids(cases)
    channels = sum(image.channels for image in headers_of(cases[0]).images)
    read = ReadCased(channels, labels, True, ignore_label)
    minima, foreground, is_whole = _read_voxels(cases, read, np.random.default_rng(seed))
    known = modalities_of(content)
    return Measured(
        name=str(content.get("name") or path.parent.name),
        labels=labels,
        ignore_label=ignore_label,
        modalities=known if len(known) == channels else ["unknown"] * channels,
        shapes=shapes,
        spacings=spacings,
        sampled=len(minima),
        minimum=float(np.median(minima)),
        is_whole=is_whole,
        foreground=foreground,
    )


def _opened(listed: Listed[Case]) -> list[Case]:
    """All must have as many channels as the first."""
    cases: list[Case] = []
    errors = [error for _, error in listed.refused]
    channels = None
    for case in tqdm(listed.cases, desc="reading headers", unit="case", dynamic_ncols=True):
        try:
            opened = open_case(case, channels)
            channels = sum(image.channels for image in opened.images)
            cases.append({**case, "opened": opened})
        except CaseError as error:
            errors.append(error)
    _refuse(errors, len(listed.cases) + len(listed.refused))
    return cases


def _grids(cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    """Shapes and spacings along R, A and S."""
    images = [headers_of(case).images[0] for case in cases]
    orders = [np.argsort(nib.io_orientation(image.affine)[:, 0]) for image in images]
    shapes = [np.array(image.shape)[order] for image, order in zip(images, orders, strict=True)]
    spacings = [spacing_of(image.affine)[order] for image, order in zip(images, orders, strict=True)]
    return np.array(shapes), np.array(spacings)


def _refuse(errors: Sequence[Exception], count: int) -> None:
    """All of them at once."""
    if errors:
        raise ValueError("\n".join([*map(str, errors), f"{len(errors)} of {count} cases cannot be used"]))


def _read_voxels(
    cases: Sequence[Case], read: ReadCased, generator: np.random.Generator
) -> tuple[list[float], tuple[float, float], bool]:
    minima, foreground, is_whole, errors = [], [], True, []
    chosen = generator.permutation(len(cases))[:SAMPLE]
    for position in tqdm(chosen, desc="reading voxels", unit="case", dynamic_ncols=True):
        try:
            case = read(cases[position])
        except CaseError as error:
            errors.append(error)
            continue
        image, label = case["image"].numpy(), case["label"].numpy()[0]
        minima.append(float(image.min()))
        is_whole = is_whole and bool((image == np.rint(image)).all())
        under = image[:, (label > 0) & (label < len(read.values))].ravel()
        foreground.append(generator.choice(under, min(VOXELS, under.size), replace=False))
    _refuse(errors, len(chosen))
    voxels = np.concatenate(foreground)
    if not voxels.size:
        rule, found = "labels must show a structure", f"in {len(chosen)} of them every voxel is background"
        raise CaseError(file_of(cases[0]), rule, found, "look at the labels")
    low, high = np.percentile(voxels, [0.5, 99.5])
    return minima, (float(low), float(high)), is_whole
