"""One mask and its reference -> Dice, HD95 and NSD of each class."""

import warnings
from collections.abc import Sequence

import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

Metrics = dict[str, float | None]


def segmentation_metrics(
    mask: torch.Tensor,
    reference: torch.Tensor,
    label: int,
    spacing: Sequence[float] | None,
    nsd_tolerance: float,
    nsd_unit: str,
) -> Metrics:
    """Compares two label maps (H, W, D) on one grid, for the voxels of one value.

    One side empty: dice 0, nsd 0, hd95 None (missing, there is no distance). Both empty: all None, the class is not there.

    Args:
        mask: label values.
        reference: label values.
        label: the value.
        spacing: of the grid in mm; None if it is unknown, then everything in mm is None.
        nsd_tolerance: how far surfaces may lie apart and still agree.
        nsd_unit: of the tolerance, `mm` or `voxel`.

    Returns:
        dice; hd95_voxels and hd95_mm, MONAI's 95th percentile Hausdorff distance (the larger of the two directed ones); nsd,
        the share of both surfaces that lies within `nsd_tolerance` of the other; voxels and voxels_reference, the sizes.

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
        "nsd": None,
        "voxels": int(found.sum()),
        "voxels_reference": int(expected.sum()),
    }
    if not metrics["voxels"] and not metrics["voxels_reference"]:
        return metrics
    if not metrics["voxels"] or not metrics["voxels_reference"]:
        return metrics | {"dice": 0.0, "nsd": 0.0}
    y_pred, y = found[None, None].float(), expected[None, None].float()  # (1, 1, H, W, D)
    nsd_spacing = spacing if nsd_unit == "mm" else [1.0] * 3
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)  # MONAI passes itself what it deprecates
        metrics["dice"] = compute_dice(y_pred, y).item()
        metrics["hd95_voxels"] = _hd95(y_pred, y, [1.0] * 3)
        metrics["hd95_mm"] = None if spacing is None else _hd95(y_pred, y, spacing)
        metrics["nsd"] = compute_surface_dice(
            y_pred, y, class_thresholds=[nsd_tolerance], include_background=True, spacing=nsd_spacing
        ).item()
    return metrics


def _hd95(y_pred: torch.Tensor, y: torch.Tensor, spacing: Sequence[float]) -> float:
    return compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95, spacing=list(spacing)).item()
