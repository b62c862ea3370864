"""The files of a case -> small volumes of 8 bits on one grid, in which a page can show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...basics.map_files import MAP_FILE, PROBABILITY
from ..ras_volume import OpenImage, RasVolume, read_ras

MOST_VOXELS = 2_000_000  # of a volume on the page: a browser decodes them in a fraction of a second
PERCENTILES = 0.5, 99.5  # of the intensities that are shown, from black to white
LEAST_MARGIN = 8  # voxels, around what is labelled
FLATTEST = 0.3  # height of a plane over its width
LABELS, HEAT = "labels", "heat"  # kinds of layers
BACKGROUND = f"{PROBABILITY}background"  # is left out: the others tell it


@dataclass(frozen=True)
class Layer:
    """Over the image. kind: `labels`, voxels are numbers of labels, 0 none; `heat`, they are 0..255 of `highest`."""

    name: str
    kind: str
    voxels: np.ndarray  # (R, A, S), uint8
    highest: float = 1.0


@dataclass(frozen=True)
class ShownCase:
    """image: (R, A, S), uint8, or None. spacing: mm of a voxel here. factors: how many voxels of the file each of these stands
    for, along each axis. shape: of the file, in RAS order. to_scale: whether the spacing is known.
    """

    image: np.ndarray | None
    layers: Sequence[Layer]
    spacing: np.ndarray
    factors: tuple[int, int, int]
    shape: tuple[int, ...]
    to_scale: bool = True


def show_case(
    files: Mapping[str, str],
    labels: Sequence[int],
    open_image: OpenImage,
    open_reference: OpenImage | None = None,
    most_voxels: int = MOST_VOXELS,
    spacing_known: bool = True,
) -> ShownCase:
    """Reads a case.

    Args:
        files: `mask`, and `image` and `reference` where there are any.
        labels: values in masks, of which the first has number 1.
        open_image: opens image and mask.
        open_reference: opens the reference; None: as other images.
        most_voxels: of the volumes; larger ones are coarsened, first along the axis where voxels are shortest.
        spacing_known: False if the headers' spacing means nothing; then no plane is shown flatter than `FLATTEST`.
    """
    mask = read_ras(open_image(files["mask"]))
    shape = np.array(mask.voxels.shape)
    spacing = mask.spacing if spacing_known else np.maximum(FLATTEST * shape.max() / shape, 1.0)
    factors = coarsening(shape.tolist(), spacing, most_voxels)
    layers = [_labels("mask", mask, labels, factors)]
    if "reference" in files:
        reference = read_ras((open_reference or open_image)(files["reference"]))
        layers.append(_labels("reference", reference, labels, factors))
    labelled = np.logical_or.reduce([layer.voxels > 0 for layer in layers])
    layers += [_heat(name, read_ras(open_image(str(path))), factors) for name, path in maps_beside(files["mask"]).items()]
    image = None
    if "image" in files:
        volume = read_ras(open_image(files["image"])).voxels
        if volume.shape != mask.voxels.shape:
            raise ValueError(f"{files['image']} has the shape {volume.shape}, its mask {mask.voxels.shape}, in RAS order")
        image = _windowed(_averaged(volume, factors), labelled)
    return ShownCase(image, layers, spacing * factors, factors, mask.voxels.shape, spacing_known)


def around(labelled: np.ndarray) -> tuple[slice, ...]:
    """The box of what is labelled, with half of its size on every side; all where nothing is."""
    if not labelled.any():
        return tuple(slice(0, size) for size in labelled.shape)
    box = []
    for axis, size in enumerate(labelled.shape):
        places = np.flatnonzero(labelled.any(tuple({0, 1, 2} - {axis})))
        margin = max((places[-1] - places[0] + 1) // 2, LEAST_MARGIN)
        box.append(slice(max(places[0] - margin, 0), min(places[-1] + 1 + margin, size)))
    return tuple(box)


def coarsening(shape: Sequence[int], spacing: np.ndarray, most_voxels: int) -> tuple[int, int, int]:
    """Whole factors for each axis: every edge stays below the same length, so that voxels become as cubic as they can."""
    sizes = np.array(shape)
    edge = float(spacing.min())
    while True:
        factors = np.clip(np.floor(edge / spacing + 1e-6), 1, sizes).astype(int)
        if np.prod(np.ceil(sizes / factors)) <= most_voxels:
            return int(factors[0]), int(factors[1]), int(factors[2])
        edge = float(((factors + 1) * spacing)[factors < sizes].min())


def maps_beside(mask: str) -> dict[str, Path]:
    """Name of a map, such as `probability liver` -> its file, by the names that `sam3d segment` gives them."""
    path = Path(mask)
    name = path.name.removesuffix(".nii.gz").removesuffix("_seg")
    found = {}
    for file in sorted(path.parent.iterdir()):  # a name may hold what glob takes for a pattern
        named = MAP_FILE.match(file.name, len(name)) if file.name.startswith(name) else None
        if named and named[1] != BACKGROUND:
            found[named[1].replace("_", " ")] = file
    return found


def _labels(name: str, volume: RasVolume, labels: Sequence[int], factors: Sequence[int]) -> Layer:
    """Label values -> their places among the labels, from 1 on; 0 for all others. A page tells 255 labels apart."""
    voxels = _picked(volume.voxels, factors)
    numbers = np.zeros(voxels.shape, np.uint8)
    for number, value in enumerate(labels[:255], 1):
        numbers[voxels == value] = number
    return Layer(name, LABELS, numbers)


def _heat(name: str, volume: RasVolume, factors: Sequence[int]) -> Layer:
    """Scaled to the largest value, of probabilities to 1."""
    voxels = _averaged(np.nan_to_num(volume.voxels), factors)
    highest = max(float(voxels.max()), 1.0 if name.startswith("probability") else 1e-6)
    return Layer(name, HEAT, np.rint(np.clip(voxels / highest, 0, 1) * 255).astype(np.uint8), highest)


def _windowed(image: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Intensities -> 0..255, by what lies around the labelled voxels."""
    low, high = np.percentile(image[around(labelled)], PERCENTILES)
    return np.rint(np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def _averaged(volume: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Mean of each block."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, volume.shape[axis], factor)
            counts = np.diff([*starts, volume.shape[axis]])
            sums = np.add.reduceat(volume, starts, axis, dtype=np.float32)
            volume = sums / np.expand_dims(counts, tuple({0, 1, 2} - {axis})).astype(np.float32)
    return volume


def _picked(volume: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """The middle voxel of each block: labels have no mean."""
    places = [
        np.minimum(np.arange(0, size, factor) + factor // 2, size - 1)
        for size, factor in zip(volume.shape, factors, strict=True)
    ]
    return volume[np.ix_(*places)]
