"""A volume while its network is traced -> the same volume, and in the trace a check of its size."""

import torch

FREE = -1  # of an axis: any length


def require_traced_plane(volume: torch.Tensor) -> torch.Tensor:
    """(B, M, H, W, D), unchanged. The trace holds for its plane and any depth: another plane would be cut or fail deep inside.

    Raises ValueError, in the exported network too. Outside of tracing nothing is checked.
    """
    return _traced(volume, FREE) if torch.jit.is_tracing() else volume


def require_traced_size(volume: torch.Tensor) -> torch.Tensor:
    """The same for a network whose trace holds for its depth alone, too."""
    return _traced(volume, int(volume.shape[4])) if torch.jit.is_tracing() else volume


def _traced(volume: torch.Tensor, depth: int) -> torch.Tensor:
    return _require_size(volume, int(volume.shape[2]), int(volume.shape[3]), depth)


@torch.jit.script
def _require_size(volume: torch.Tensor, height: int, width: int, depth: int) -> torch.Tensor:
    if volume.size(2) != height or volume.size(3) != width or (depth >= 0 and volume.size(4) != depth):
        slices = "any number of slices" if depth < 0 else f"{depth} voxels"
        raise ValueError(
            f"this exported network holds for volumes of {height} x {width} x {slices}, got {volume.size(2)} x "
            f"{volume.size(3)} x {volume.size(4)}; export it again for that size"
        )
    return volume
