"""The files of a case -> small volumes of 8 bits on one grid, in which a page can show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..ras_volume import OpenImage, RasVolume, read_ras

MOST_VOXELS = 2_000_000  # of a volume on the page: a browser decodes them in a fraction of a second
PERCENTILES = 0.5, 99.5  # of the intensities that are shown, from black to white
MARGIN = 0.25  # around the labelled box, of its size: there the window is chosen
LABELS, HEAT = "labels", "heat"  # kinds of layers
MAPS = ("probability", "uncertainty")  # of the files that may lie beside a mask, NAME_probability_liver.nii.gz


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
    for, along each axis. shape: of the file, in RAS order.
    """

    image: np.ndarray | None
    layers: Sequence[Layer]
    spacing: np.ndarray
    factors: tuple[int, int, int]
    shape: tuple[int, ...]


def show_case(
    files: Mapping[str, str],
    labels: Sequence[int],
    open_image: OpenImage,
    open_reference: OpenImage | None = None,
    most_voxels: int = MOST_VOXELS,
) -> ShownCase:
    """Reads a case.

    Args:
        files: `mask`, and `image` and `reference` where there are any.
        labels: values in masks, of which the first has number 1.
        open_image: opens image and mask.
        open_reference: opens the reference; None: as other images.
        most_voxels: of the volumes; larger ones are coarsened, first along the axis where voxels are shortest.
    """
    mask = read_ras(open_image(files["mask"]))
    factors = coarsening(mask.voxels.shape, mask.spacing, most_voxels)
    volumes = {"mask": mask}
    if "reference" in files:
        volumes["reference"] = read_ras((open_reference or open_image)(files["reference"]))
    numbers = {name: _numbers(volume.voxels, labels) for name, volume in volumes.items()}
    layers = [Layer(name, LABELS, _picked(voxels, factors)) for name, voxels in numbers.items()]
    layers += [_heat(name, read_ras(open_image(str(path))), factors) for name, path in maps_beside(files["mask"]).items()]
    image = None
    if "image" in files:
        volume = read_ras(open_image(files["image"])).voxels
        if volume.shape != mask.voxels.shape:
            raise ValueError(f"{files['image']} has the shape {volume.shape}, its mask {mask.voxels.shape}, in RAS order")
        image = _averaged(_windowed(volume, np.logical_or.reduce([*map(np.asarray, numbers.values())])), factors)
    return ShownCase(image, layers, mask.spacing * factors, factors, mask.voxels.shape)


def coarsening(shape: Sequence[int], spacing: np.ndarray, most_voxels: int) -> tuple[int, int, int]:
    """Whole factors for each axis, such that voxels become as cubic as they can."""
    factors = np.ones(3, int)
    while np.prod(np.ceil(np.array(shape) / factors)) > most_voxels:
        factors[np.where(np.array(shape) > factors, spacing * factors, np.inf).argmin()] += 1
    return tuple(map(int, factors))  # type: ignore[return-value]


def maps_beside(mask: str) -> dict[str, Path]:
    """Name of a map, such as `probability liver` -> its file, by the names that `sam3d segment` gives them."""
    path = Path(mask)
    stem = path.name.removesuffix(".nii.gz")
    starts = [f"{name}_{kind}" for name in dict.fromkeys((stem, stem.removesuffix("_seg"))) for kind in MAPS]
    found = {}
    for file in sorted(path.parent.glob("*.nii.gz")):  # a name may hold what glob takes for a pattern
        for start in starts:
            if file.name.startswith(start):
                kind = next(kind for kind in MAPS if start.endswith(kind))
                found[(kind + file.name.removesuffix(".nii.gz")[len(start) :]).replace("_", " ")] = file
    return found


def _numbers(voxels: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Label values -> their places among the labels, from 1 on; 0 for all others. uint8: a page tells 255 labels apart."""
    numbers = np.zeros(voxels.shape, np.uint8)
    for number, value in enumerate(labels[:255], 1):
        numbers[voxels == value] = number
    return numbers


def _heat(name: str, volume: RasVolume, factors: Sequence[int]) -> Layer:
    """Scaled to the largest value, of probabilities to 1."""
    voxels = np.nan_to_num(volume.voxels)
    highest = max(float(voxels.max()), 1.0 if name.startswith("probability") else 1e-6)
    return Layer(name, HEAT, _averaged(np.clip(voxels / highest * 255, 0, 255).astype(np.float32), factors), highest)


def _windowed(image: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Intensities -> 0..255, by what lies around the labelled voxels; by all where there are none."""
    there = image
    if labelled.any():
        box = []
        for axis in range(3):
            places = np.flatnonzero(labelled.any(tuple({0, 1, 2} - {axis})))
            margin = max(int(MARGIN * (places[-1] - places[0] + 1)), 4)
            box.append(slice(max(places[0] - margin, 0), places[-1] + margin + 1))
        there = image[tuple(box)]
    low, high = np.percentile(there, PERCENTILES)
    return np.clip((image - low) / max(high - low, 1e-6) * 255, 0, 255)


def _averaged(volume: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Mean of each block, as uint8."""
    padded = np.pad(volume, [(0, -size % factor) for size, factor in zip(volume.shape, factors, strict=True)], mode="edge")
    blocks = padded.reshape([n for size, factor in zip(padded.shape, factors, strict=True) for n in (size // factor, factor)])
    return np.rint(blocks.mean((1, 3, 5))).astype(np.uint8)


def _picked(volume: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """The middle voxel of each block: labels have no mean."""
    places = [
        np.minimum(np.arange(0, size, factor) + factor // 2, size - 1)
        for size, factor in zip(volume.shape, factors, strict=True)
    ]
    return volume[np.ix_(*places)]
