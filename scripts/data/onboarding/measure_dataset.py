"""The training cases of a dataset -> their sizes, spacings and intensities, as a preset is proposed from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm import tqdm

from ...basics.geometry import spacing_of
from ..cases.case_error import CaseError
from ..cases.datalist import Case, as_list, read_datalist, read_json
from ..cases.open_case import open_case
from ..cases.read_case import ReadCased
from ..formats.open_image import open_image
from .label_names import modalities_of, name_values, names_of

SAMPLE = 20  # cases whose voxels are read
VOXELS = 100_000  # drawn from each of them
CT = re.compile(r"(?<![a-z])(ce|nc|ld|cb)?cta?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """shapes, spacings: (cases, 3), in voxels and mm, along R, A and S, however the files are stored."""

    name: str
    labels: dict[str, str]
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
    names = names_of(content)
    try:
        labels = name_values(names, names)
    except ValueError as error:
        remedy = "correct it, or let `sam3d dataset` write it"
        raise CaseError(str(path), "'labels' must name the values in the label files", str(error), remedy) from error
    cases = read_datalist(dataset_dir)["training"]
    shapes, spacings, channels = _read_headers(cases)
    minima, foreground, is_whole = _read_voxels(cases, channels, labels, np.random.default_rng(seed))
    known = modalities_of(content)
    return Measured(
        name=str(content.get("name") or path.parent.name),
        labels=labels,
        modalities=known if len(known) == channels else ["unknown"] * channels,
        shapes=shapes,
        spacings=spacings,
        sampled=len(minima),
        minimum=float(np.median(minima)),
        is_whole=is_whole,
        foreground=foreground,
    )


def _read_headers(cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray, int]:
    shapes, spacings, errors = [], [], []
    channels = 0
    for case in tqdm(cases, desc="reading headers", unit="case", dynamic_ncols=True):
        try:
            if "error" in case:
                raise case["error"]
            channels = channels or sum(open_image(file).channels for file in as_list(case["image"]))
            image = open_case(case, channels).images[0]
            along_ras = np.argsort(nib.io_orientation(image.affine)[:, 0])
            shapes.append(np.array(image.shape)[along_ras])
            spacings.append(spacing_of(image.affine)[along_ras])
        except CaseError as error:
            errors.append(error)
    _refuse(errors, len(cases))
    return np.array(shapes), np.array(spacings), channels


def _refuse(errors: list[CaseError], count: int) -> None:
    """All of them at once."""
    if errors:
        raise ValueError("\n".join([*map(str, errors), f"{len(errors)} of {count} cases cannot be used"]))


def _read_voxels(
    cases: Sequence[Case], channels: int, labels: dict[str, str], generator: np.random.Generator
) -> tuple[list[float], tuple[float, float], bool]:
    read = ReadCased(channels, labels, empty_labels=True)
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
        under = image[:, label > 0].ravel()
        foreground.append(generator.choice(under, min(VOXELS, under.size), replace=False))
    _refuse(errors, len(chosen))
    voxels = np.concatenate(foreground)
    if not voxels.size:
        rule, found = "labels must show a structure", f"in {len(chosen)} of them every voxel is background"
        raise CaseError(str(as_list(cases[0]["image"])[0]), rule, found, "look at the labels")
    low, high = np.percentile(voxels, [0.5, 99.5])
    return minima, (float(low), float(high)), is_whole
