"""A volume of any depth -> logits: each slice encoded once, the decoder on windows or on all of it."""

from typing import Any

import psutil
import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import nn
from torch.nn import functional as F

from .rolling_embeddings import RollingEmbeddings
from .temporary_store import TemporaryStore

BYTES_PER_VOXEL = 110  # of the decoder at its widest point, measured (docs/performance.md)
SLICES = 16  # decoded at once when streaming


class EmbeddingInferer(Inferer):
    """(B, M, H, W, D) -> (B, K, H, W, D).

    The decoder's instance normalisation sees all that it is given, so what it is given changes the mask. Slices do not see
    each other in the encoder, so each is encoded once. Whatever fits into memory is decoded at once; what does not, in parts
    along the depth with the same result (`SAM3D.stream`). Embeddings of a long volume never lie in memory as a whole.

    roi_depth: slices in a window, the depth of the training crops.
    mode: `windows` slides windows of roi_depth along the slices, since the decoder was trained on those; a shallower volume
        is padded to one window with empty slices, as in training, and cropped back. `whole` decodes all slices at once.
    overlap: of neighbouring windows, 0 to below 1; blended with Gaussian weights.
    memory: GB that the decoder may take; None: half of what is free.
    """

    def __init__(self, roi_depth: int, mode: str = "windows", overlap: float = 0.5, memory: float | None = None) -> None:
        super().__init__()
        if mode not in ("windows", "whole"):
            raise ValueError(f"the inferer's mode must be 'windows' or 'whole', got {mode!r}")
        self.roi_depth = roi_depth
        self.mode = mode
        self.overlap = overlap
        self.memory = memory

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        depth = inputs.shape[-1]
        if self.mode == "whole":
            return self._whole(inputs, network)
        if depth <= self.roi_depth:
            before = (self.roi_depth - depth) // 2
            window = F.pad(inputs, (before, self.roi_depth - depth - before))
            return self._whole(window, network)[..., before : before + depth]
        return self._windows(inputs, network)

    def _whole(self, volume: torch.Tensor, network: nn.Module) -> torch.Tensor:
        if self._fits(volume.shape, volume.device):
            return network(volume)
        embeddings = TemporaryStore()
        for part in volume.split(SLICES, -1):
            embeddings.append(network.encoder(part).movedim(-1, 2))
        return self._stream(embeddings, network, volume.shape)

    def _windows(self, volume: torch.Tensor, network: nn.Module) -> torch.Tensor:
        height, width = volume.shape[2:4]
        windows = SlidingWindowInferer((height, width, self.roi_depth), overlap=self.overlap, mode="gaussian", with_coord=True)
        embeddings = RollingEmbeddings(network.encoder)

        def predict(window: torch.Tensor, coordinates: list[list[slice]]) -> torch.Tensor:
            embedded = embeddings(window, coordinates[0])  # one window at a time
            if self._fits(window.shape, window.device):
                return network.decode(embedded, (height, width))
            store = TemporaryStore()
            store.append(embedded.movedim(-1, 2))
            return self._stream(store, network, window.shape)

        return windows(volume, predict)

    def _stream(self, embeddings: TemporaryStore, network: nn.Module, shape: torch.Size) -> torch.Tensor:
        logits, start = None, 0
        for part in network.stream(embeddings, shape[2:4], TemporaryStore, SLICES):
            if logits is None:
                logits = part.new_empty((*part.shape[:4], shape[4]))
            logits[..., start : start + part.shape[-1]] = part
            start += part.shape[-1]
        return logits

    def _fits(self, shape: torch.Size, device: torch.device) -> bool:
        batch, _, height, width, depth = shape
        memory = self.memory * 1e9 if self.memory is not None else _free_memory(device) / 2
        return BYTES_PER_VOXEL * batch * (height + -height % 16) * (width + -width % 16) * depth <= memory


def _free_memory(device: torch.device) -> int:
    """Bytes."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    kept_for_reuse = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept_for_reuse
