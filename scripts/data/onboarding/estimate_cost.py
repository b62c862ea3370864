"""The sizes a preset asks for -> about what a training run will cost, in words."""

from collections.abc import Sequence

import numpy as np

BATCH = 2  # crops, train.json's
STEP_BYTES, BYTES_PER_CLASS = (
    310,
    21,
)  # a voxel of a crop: forward, loss, backward; by research.measure.peak_memory, CPU
EMBEDDING_BYTES = 2  # per voxel, modality and view
ENCODER_SPEED, DECODER_SPEED = 0.2e6, 0.75e6  # voxels/s on 2 CPU cores, ViT-B, by the epochs in docs/research/performance.md


def estimate_cost(spatial_size: Sequence[int], roi_depth: int, depths: np.ndarray, modalities: int, classes: int) -> str:
    """depths: of each training case, in slices as the network sees them."""
    crop = int(np.prod(spatial_size)) * roi_depth
    crops = crop * len(depths)  # of an epoch
    volumes = float(np.prod(spatial_size) * np.maximum(depths, roi_depth).sum()) * modalities
    encoding, decoding = crops * modalities / ENCODER_SPEED, crops / DECODER_SPEED
    step = BATCH * crop * (STEP_BYTES + BYTES_PER_CLASS * classes)
    return (
        f"Estimates: a training step takes {_amount(step / 1e9)} GB beside the encoder. An epoch "
        f"takes {_time(encoding + decoding)} on 2 CPU cores; with cached.yaml {_time(decoding)}, after "
        f"{_time(volumes / ENCODER_SPEED)} for {_amount(EMBEDDING_BYTES * volumes / 1e9)} GB of embeddings, for each view."
    )


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_amount(seconds / length)} {unit}"
    return f"{_amount(seconds)} s"


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1g}"
