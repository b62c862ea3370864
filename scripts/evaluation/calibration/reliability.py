"""Probabilities and references of voxels -> how often what was likely came true."""

from typing import Any

import numpy as np
import torch
from monai.metrics import CalibrationErrorMetric
from monai.metrics.calibration import calibration_binning

BINS = 20
VOXELS = 10_000  # of a case, where all are asked


def uniformly_drawn(weights: np.ndarray, count: int = VOXELS) -> np.ndarray:
    """(N,) of voxels that each stand for so many -> the numbers of `count` of them, as of a uniform sample, some repeatedly.

    MONAI's calibration error knows no weights. Systematic sampling: each is drawn as often as its share says, but for rounding.
    """
    ends = np.cumsum(weights)
    return np.searchsorted(ends, (np.arange(count) + 0.5) * ends[-1] / count).clip(max=len(weights) - 1)


def calibration_error(probabilities: np.ndarray, references: np.ndarray) -> list[float]:
    """(N, S) -> the expected calibration error of each structure, as MONAI's `CalibrationErrorMetric` defines it.

    Example:
        >>> import numpy as np
        >>> from scripts.evaluation.calibration.reliability import calibration_error
        >>> calibration_error(np.full((10, 1), 0.7), np.arange(10)[:, None] < 6)  # 6 of 10 at 0.7
        [0.1]
    """
    metric = CalibrationErrorMetric(num_bins=BINS, metric_reduction="none")
    metric(y_pred=_batch(probabilities), y=_batch(references))
    errors = metric.aggregate()
    assert isinstance(errors, torch.Tensor)
    return [round(error, 6) for error in errors[0].tolist()]


def reliability(probabilities: np.ndarray, references: np.ndarray) -> list[dict[str, Any]]:
    """All structures' voxels together, by probability: bins that hold any, with mean, share of references, and voxels."""
    means, shares, counts = calibration_binning(
        _batch(probabilities.reshape(-1, 1)), _batch(references.reshape(-1, 1)), num_bins=BINS
    )
    rows = zip(means[0, 0].tolist(), shares[0, 0].tolist(), counts[0, 0].long().tolist(), strict=True)
    return [{"probability": round(mean, 6), "share": round(share, 6), "voxels": count} for mean, share, count in rows if count]


def _batch(values: np.ndarray) -> torch.Tensor:
    """(N, S) -> (1, S, N)"""
    return torch.from_numpy(np.ascontiguousarray(values.T)).double()[None]
