"""One mask and its reference -> Dice, HD95, ASSD, NSD, volumes and counts of components of a class."""

import math
import warnings
from collections.abc import Sequence

import torch
from monai.metrics import compute_surface_dice, get_mask_edges, get_surface_distance
from monai.transforms import generate_spatial_bounding_box

from .class_dice import class_dice
from .detection import detection

Metrics = dict[str, float | None]
MILLILITRE = 1000  # mm³


def segmentation_metrics(
    mask: torch.Tensor,
    reference: torch.Tensor,
    label: int,
    spacing: Sequence[float] | None,
    nsd_tolerance: float,
    nsd_unit: str,
) -> Metrics:
    """Compares two label maps (H, W, D) on one grid, for the voxels of one value.

    One side empty: dice 0, nsd 0, hd95 and assd None (missing, there is no distance). Both empty: all None but the counts, the
    class is not there.

    Args:
        mask: label values.
        reference: label values.
        label: the value.
        spacing: of the grid in mm; None if it is unknown, then everything in mm is None.
        nsd_tolerance: how far surfaces may lie apart and still agree.
        nsd_unit: of the tolerance, `mm` or `voxel`.

    Returns:
        dice; hd95_voxels and hd95_mm, MONAI's 95th percentile Hausdorff distance (the larger of the two directed ones, between
        voxels at the border); assd_voxels and assd_mm, the mean of the same distances, of both directions together, as MONAI's
        average surface distance with `symmetric=True`; nsd, the share of the area of both surfaces that lies within
        `nsd_tolerance` of the other, as DeepMind's surface-distance and the Medical Segmentation Decathlon define it (surfaces
        run between voxels); voxels and voxels_reference, the sizes; volume_ml, volume_reference_ml and volume_error_ml, mask
        minus reference; and what `detection` counts.

    Raises:
        ValueError: for another unit, and for mm where the spacing is unknown.

    Example:
        >>> import torch
        >>> from scripts.evaluation import segmentation_metrics
        >>> reference = torch.zeros(12, 12, 6)
        >>> reference[2:8, 2:8, 1:5] = 1
        >>> moved = reference.roll(1, dims=0)
        >>> metrics = segmentation_metrics(moved, reference, 1, (2.0, 2.0, 3.0), nsd_tolerance=2.0, nsd_unit="mm")
        >>> {name: round(metrics[name], 3) for name in ("dice", "hd95_mm", "nsd")}
        {'dice': 0.833, 'hd95_mm': 2.0, 'nsd': 1.0}
    """
    if nsd_unit not in ("mm", "voxel"):
        raise ValueError(f"nsd_unit must be 'mm' or 'voxel', got {nsd_unit!r}")
    if nsd_unit == "mm" and spacing is None:
        raise ValueError("the NSD tolerance is in mm but the spacing is unknown; give it in voxels (nsd_unit: voxel)")
    found, expected = mask == label, reference == label
    metrics: Metrics = {
        "dice": None,
        "hd95_mm": None,
        "hd95_voxels": None,
        "assd_mm": None,
        "assd_voxels": None,
        "nsd": None,
        "voxels": int(found.sum()),
        "voxels_reference": int(expected.sum()),
        "volume_ml": None,
        "volume_reference_ml": None,
        "volume_error_ml": None,
        "components_reference": 0,
        "components_found": 0,
        "components_false_positive": 0,
    }
    if not metrics["voxels"] and not metrics["voxels_reference"]:
        return metrics
    start, end = generate_spatial_bounding_box((found | expected)[None])
    box = tuple(slice(*ends) for ends in zip(start, end, strict=True))
    found, expected = found[box], expected[box]
    metrics |= detection(found, expected)
    if spacing is not None:
        voxel = math.prod(spacing) / MILLILITRE
        volume, of_reference = int(found.sum()) * voxel, int(expected.sum()) * voxel
        metrics |= {"volume_ml": volume, "volume_reference_ml": of_reference, "volume_error_ml": volume - of_reference}
    if not metrics["voxels"] or not metrics["voxels_reference"]:
        return metrics | {"dice": 0.0, "nsd": 0.0}
    y_pred, y = found[None, None].float(), expected[None, None].float()  # (1, 1, H, W, D)
    nsd_spacing = spacing if nsd_unit == "mm" else [1.0] * 3
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)  # MONAI passes itself what it deprecates
        metrics["dice"] = class_dice(y_pred, y).item()
        edges, reference_edges = get_mask_edges(found, expected)
        metrics["hd95_voxels"], metrics["assd_voxels"] = _surface_distances(edges, reference_edges, [1.0] * 3)
        if spacing is not None:
            metrics["hd95_mm"], metrics["assd_mm"] = _surface_distances(edges, reference_edges, spacing)
        metrics["nsd"] = compute_surface_dice(
            y_pred, y, class_thresholds=[nsd_tolerance], include_background=True, spacing=nsd_spacing, use_subvoxels=True
        ).item()
    return metrics


def _surface_distances(edges: torch.Tensor, other: torch.Tensor, spacing: Sequence[float]) -> tuple[float, float]:
    """Of two sets of border voxels: HD95 and ASSD."""
    pairs = ((edges, other), (other, edges))
    directed = [torch.as_tensor(get_surface_distance(*pair, spacing=list(spacing))).double() for pair in pairs]
    hd95 = max(distances.quantile(0.95).item() for distances in directed)
    return hd95, torch.cat(directed).mean().item()
