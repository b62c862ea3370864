"""The sizes a preset asks for -> about what a training run will cost, in words."""

from collections.abc import Sequence

import numpy as np

BATCH = 2  # crops, train.json's
# A voxel of a crop through the network with detail: forward, loss, backward; by research.measure.peak_memory, CPU.
STEP_BYTES, BYTES_PER_CLASS = 466, 21
CACHED_BYTES = 2  # per voxel and modality, of embeddings and of pixels each
# Voxels/s on 2 CPU cores: of ViT-B, by the epochs in docs/research/performance.md; the rest 0.8 of the decoder's 0.75e6.
ENCODER_SPEED, DECODER_SPEED = 0.2e6, 0.6e6


def estimate_cost(
    network: str, spatial_size: Sequence[int], roi_depth: int, depths: np.ndarray, modalities: int, classes: int
) -> str:
    """network: `detail` or `detail+no_encoder`. depths: of each training case, in slices as the network sees them."""
    crop = int(np.prod(spatial_size)) * roi_depth
    crops = crop * len(depths)  # of an epoch
    volumes = float(np.prod(spatial_size) * np.maximum(depths, roi_depth).sum()) * modalities
    encoding, decoding = crops * modalities / ENCODER_SPEED, crops / DECODER_SPEED
    step = BATCH * crop * (STEP_BYTES + BYTES_PER_CLASS * classes)
    beginning = f"Estimates for --network {network}: a training step takes {_amount(step / 1e9)} GB"
    pixels = CACHED_BYTES * volumes / 1e9
    if network.endswith("no_encoder"):
        return (
            f"{beginning}. An epoch takes {_time(decoding)} on 2 CPU cores; with --cached no step waits for files, for "
            f"{_amount(pixels)} GB of pixels."
        )
    return (
        f"{beginning} beside the encoder. An epoch takes {_time(encoding + decoding)} on 2 CPU cores; with --cached "
        f"{_time(decoding)}, after {_time(volumes / ENCODER_SPEED)} for {_amount(2 * pixels)} GB of embeddings and pixels."
    )


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{_amount(seconds / length)} {unit}"
    return f"{_amount(seconds)} s"


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1g}"
