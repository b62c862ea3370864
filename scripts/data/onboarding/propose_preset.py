"""The measures of a dataset -> a preset in YAML; each of its comments says where a number comes from."""

import numpy as np

from ...basics.tokens import PATCH, padded
from ..cases.case_error import printable
from .estimate_cost import estimate_cost
from .measure_dataset import Measured
from .preset_yaml import Line, preset_yaml

AXCODES = {"R": "ASR", "A": "SRA", "S": "RAS"}  # slice axis last; cyclic, so that nothing is mirrored
ANISOTROPIC = 1.5  # distance of slices over pixel size, from which slices are more than a convention
FLAT = 3.0  # pixels over slices, from which a volume is a stack, whatever its header says
SQUARE = 1.2  # ratio of a pixel's edges up to which it passes for a square
ALIKE = 2.0  # ratio of the distances of slices (5th to 95th percentile) up to which they are left as they are
SMALLEST = 64  # pixels: 4 tokens across the shorter side
LARGEST = 224  # pixels: 14 x 14 tokens are one window of SAM and train on any GPU
DEEPEST = 32  # slices
IGNORED = "values of voxels that nobody labelled, as dataset.json says: they count in no loss and in no figure"


def propose_preset(measured: Measured, network: str) -> str:
    """The text of a YAML file. Raises ValueError if a name of a label cannot be written.

    network: the one that is proposed beside it, `detail` or `detail+no_encoder`, whose cost is estimated.
    """
    axis, why_axis = _slice_axis(measured)
    axcodes = AXCODES[axis]
    order = ["RAS".index(letter) for letter in axcodes]
    spacings = measured.spacings[:, order]
    spacing, why_spacing = _spacing(spacings)
    seen = measured.shapes[:, order] * np.where(np.array(spacing) > 0, spacings / spacing, 1)  # voxels after resampling
    size, why_size = _spatial_size(np.median(seen[:, :2], axis=0))
    depth = max(round(float(np.median(seen[:, 2]))), 1)
    roi_depth = min(depth, DEEPEST)
    pixel = float(f"{np.median(spacings[:, :2]):.2g}")
    lines = {
        "labels": Line(measured.labels),
        **({"ignore_label": Line(measured.ignore_label, IGNORED)} if measured.ignore_label else {}),
        "modalities": Line(len(measured.modalities), printable(", ".join(measured.modalities))),
        "axcodes": Line(axcodes, why_axis),
        "spacing": Line(spacing, why_spacing),
        "intensity": _intensity(measured),
        "spatial_size": Line(size, f"pixels along {axcodes[0]} and {axcodes[1]}, multiples of {PATCH}: {why_size}"),
        "roi_depth": Line(roi_depth, f"slices in a training crop: the median case has {depth}, all have {_range(seen[:, 2])}"),
        "max_epochs": Line(100, "a start; early stopping ends what no longer improves"),
        "nsd_tolerance": Line(pixel, "how far surfaces may differ and still agree: the median pixel"),
        "nsd_unit": Line("mm", "or voxel"),
        "spacing_known": Line(True, _doubt(measured) or "false if the headers' spacing means nothing"),
    }
    shapes = " x ".join(_range(side) for side in measured.shapes.T)
    origin = f"from {len(seen)} training cases of {shapes} voxels (RAS)"
    title = f"{printable(measured.name)}: proposed by sam3d preset {origin}. Change what you know better."
    cost = estimate_cost(network, size, roi_depth, seen[:, 2], len(measured.modalities), len(measured.labels))
    return preset_yaml([title, cost], lines)


def _slice_axis(measured: Measured) -> tuple[str, str]:
    spacing, shape = np.median(measured.spacings, axis=0), np.median(measured.shapes, axis=0)
    if spacing.max() >= ANISOTROPIC * spacing.min():
        axis, why = int(spacing.argmax()), f"the coarsest of {_edges(spacing, 'mm')}"
    elif shape.max() >= FLAT * shape.min():
        axis, why = int(shape.argmin()), f"the shortest of {_edges(shape, 'voxels')}, whose edges are about equal"
    else:
        axis, why = 2, f"axial slices, since voxels of {_edges(spacing, 'mm')} are about isotropic"
    largest, smallest = measured.spacings.max(axis=1), measured.spacings.min(axis=1)
    others = (largest >= ANISOTROPIC * smallest) & (measured.spacings[:, axis] < largest)
    doubt = f". IN DOUBT: {others.sum()} of {len(others)} cases are coarsest along another axis" if others.any() else ""
    return "RAS"[axis], f"slices lie along the last letter, {why}{doubt}"


def _spacing(spacings: np.ndarray) -> tuple[list[float], str]:
    """In the plane only the pixels' shape matters, since slices are scaled to fit `spatial_size` afterwards."""
    plane, distance = spacings[:, :2], spacings[:, 2]
    pixel, step = -1.0, -1.0
    why = f"mm; -1: as stored. Pixels of {_range(plane)} mm are squares, and slices are scaled to fit anyway"
    if np.percentile(plane.max(axis=1) / plane.min(axis=1), 95) > SQUARE:
        pixel = float(f"{np.median(plane):.3g}")
        why = f"mm; -1: as stored. Pixels of {_range(plane)} mm are no squares and become such of the median size"
    why += f"; slices lie {_range(distance)} mm apart"
    low, high = np.percentile(distance, [5, 95])
    if high > ALIKE * low:
        step = float(f"{np.median(distance):.3g}")
        why += ", so differently that they are resampled to the median"
    return [pixel, pixel, step], why


def _intensity(measured: Measured) -> Line:
    if measured.is_ct:
        low, high = 10.0 * np.floor(measured.foreground[0] / 10), 10.0 * np.ceil(measured.foreground[1] / 10)
        value = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": float(low), "a_max": float(max(high, low + 10))}
        why = f"CT: a window in Hounsfield units, 0.5 to 99.5 % of the voxels under the labels of {measured.sampled} cases"
        return Line({**value, "b_min": 0.0, "b_max": 1.0, "clip": True}, why)
    value = {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": 0.5, "upper": 99.5}
    why = "not CT: each volume and channel by its own percentiles"
    return Line({**value, "b_min": 0.0, "b_max": 1.0, "clip": True, "channel_wise": True}, why)


def _spatial_size(plane: np.ndarray) -> tuple[list[int], str]:
    """plane: pixels of the median slice."""
    factor = min(max(1.0, SMALLEST / plane.min()), LARGEST / plane.max())
    why = f"the median slice has {plane[0]:.0f} x {plane[1]:.0f}"
    if factor > 1:
        why += f"; enlarged {factor:.1f} times, since SAM sees tokens of {PATCH} x {PATCH}"
    elif factor < 1:
        why += f"; {' x '.join(map(str, _multiples(plane)))} would keep all detail and take {factor**-2:.1f} times the memory"
    return _multiples(factor * plane), why


def _multiples(plane: np.ndarray) -> list[int]:
    """Rounded up, so that nothing is lost; the rest of a token is padding."""
    return [padded(int(np.ceil(round(float(edge), 3)))) for edge in plane]


def _doubt(measured: Measured) -> str:
    shape = np.median(measured.shapes, axis=0)
    if not np.allclose(measured.spacings, 1) or shape.max() < FLAT * shape.min():
        return ""
    return (
        f"IN DOUBT: all headers say 1 x 1 x 1 mm, yet the median volume has {_edges(shape, 'voxels')}. If this spacing means "
        "nothing, write false here and nsd_unit: voxel"
    )


def _range(values: np.ndarray) -> str:
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low}-{high}"


def _edges(values: np.ndarray, unit: str) -> str:
    return f"{' x '.join(f'{value:.4g}' for value in values)} {unit} (RAS)"
