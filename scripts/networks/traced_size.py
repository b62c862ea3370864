"""A volume while its network is traced -> the same volume, and in the trace a check of its size."""

import torch


def require_traced_size(volume: torch.Tensor) -> torch.Tensor:
    """(B, M, H, W, D), unchanged. A trace holds for the size it was made with: others would be cut or fail deep inside.

    Raises ValueError, in the exported network too. Outside of tracing nothing is checked.
    """
    if not torch.jit.is_tracing():
        return volume
    height, width, depth = (int(size) for size in volume.shape[2:])
    return _require_size(volume, height, width, depth)


@torch.jit.script
def _require_size(volume: torch.Tensor, height: int, width: int, depth: int) -> torch.Tensor:
    if volume.size(2) != height or volume.size(3) != width or volume.size(4) != depth:
        raise ValueError(
            f"this exported network holds for volumes of {height} x {width} x {depth} voxels, got {volume.size(2)} x "
            f"{volume.size(3)} x {volume.size(4)}; export it again with that --input_shape"
        )
    return volume
