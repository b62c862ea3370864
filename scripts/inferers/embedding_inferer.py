"""A volume of any depth -> logits: each slice encoded once, the decoder on windows or on all of it."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch.nn import functional as F

from ..basics.contracts import EmbeddingNetwork
from ..basics.free_memory import free_memory
from ..basics.tokens import padded
from .rolling_embeddings import RollingEmbeddings
from .temporary_store import TemporaryStore

logger = logging.getLogger(__name__)

SLICES = 16  # decoded at once when streaming


class EmbeddingInferer(Inferer):
    """(B, M, H, W, D) -> (B, K, H, W, D).

    The decoder's instance normalisation sees all that it is given, so what it is given changes the mask. Slices do not see
    each other in the encoder, so each is encoded once; where they do, each window is encoded as a whole, like the crops of the
    training run, and with `whole` the volume is. Whatever fits into memory is decoded at once; what does not, in parts
    along the depth with the same result (`SAM3D.stream`). Embeddings of a long volume never lie in memory as a whole. A device
    that runs out of memory nevertheless is asked again for fewer slices at once, for the same mask, until it is one.

    Args:
        roi_depth: slices in a window, the depth of the training crops.
        mode: `windows` slides windows of roi_depth along the slices, since the decoder was trained on those; a shallower
            volume is padded to one window with empty slices, as in training, and cropped back. `whole` decodes all slices at
            once.
        overlap: of neighbouring windows, 0 to below 1; blended with Gaussian weights.
        memory: GB that the decoder may take; None: half of what is free.

    Raises:
        ValueError: for another mode.

    Example:
        >>> import torch
        >>> from scripts.inferers import EmbeddingInferer
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, out_channels=4)).eval()
        >>> volume = torch.rand(1, 1, 32, 48, 11)
        >>> with torch.no_grad():
        ...     whole = EmbeddingInferer(roi_depth=8, mode="whole")(volume, network)
        ...     streamed = EmbeddingInferer(roi_depth=8, mode="whole", memory=0)(volume, network)
        >>> torch.allclose(whole, streamed, atol=1e-4)
        True
    """

    def __init__(self, roi_depth: int, mode: str = "windows", overlap: float = 0.5, memory: float | None = None) -> None:
        super().__init__()
        if mode not in ("windows", "whole"):
            raise ValueError(f"the inferer's mode must be 'windows' or 'whole', got {mode!r}")
        self.roi_depth = roi_depth
        self.mode = mode
        self.overlap = overlap
        self.memory = memory

    def __call__(self, inputs: torch.Tensor, network: EmbeddingNetwork, *args: Any, **kwargs: Any) -> torch.Tensor:
        slices = None  # encoded at once: as many as the encoder sees fit
        while True:
            try:
                return self._logits(inputs, network, slices)
            except torch.OutOfMemoryError:
                if slices == 1:
                    raise
            slices = SLICES if slices is None else slices // 2
            torch.cuda.empty_cache()
            logger.warning("out of memory: once more, encoding and decoding %d slices at a time", slices)

    def _logits(self, volume: torch.Tensor, network: EmbeddingNetwork, slices: int | None) -> torch.Tensor:
        depth = volume.shape[-1]
        if self.mode == "whole":
            return self._whole(volume, network, slices)
        if depth <= self.roi_depth:
            before = (self.roi_depth - depth) // 2
            window = F.pad(volume, (before, self.roi_depth - depth - before))
            return self._whole(window, network, slices)[..., before : before + depth]
        return self._windows(volume, network, slices)

    def _whole(self, volume: torch.Tensor, network: EmbeddingNetwork, slices: int | None) -> torch.Tensor:
        if slices is None and self._fits(network, volume):
            return network(volume)
        embeddings = TemporaryStore()
        for part in (volume,) if network.encoder.mixes_slices else volume.split(slices or SLICES, -1):
            embeddings.append(network.encode(part).movedim(-1, 2))
        return self._stream(embeddings, network, volume.shape, slices)

    def _windows(self, volume: torch.Tensor, network: EmbeddingNetwork, slices: int | None) -> torch.Tensor:
        height, width = volume.shape[2:4]
        windows = SlidingWindowInferer(
            (height, width, self.roi_depth),
            overlap=self.overlap,
            mode="gaussian",
            with_coord=True,
            device=volume.device if slices is None else torch.device("cpu"),
        )
        rolling = RollingEmbeddings(network.encode if slices is None else _in_parts(network.encode, slices))

        def predict(window: torch.Tensor, coordinates: list[list[slice]]) -> torch.Tensor | list[torch.Tensor]:
            together = network.encoder.mixes_slices
            embedded = network.encode(window) if together else rolling(window, coordinates[0])  # one window at a time
            if slices is None and self._fits(network, window):
                return network.decode(embedded, (height, width))
            store = TemporaryStore()
            store.append(embedded.movedim(-1, 2))
            return self._stream(store, network, window.shape, slices)

        return windows(volume, predict)  # pyright: ignore[reportReturnType] - a tensor, as `predict` gives in evaluation

    def _stream(
        self, embeddings: TemporaryStore, network: EmbeddingNetwork, shape: torch.Size, slices: int | None
    ) -> torch.Tensor:
        logits, start = torch.empty(0), 0
        for part in network.stream(embeddings, (shape[2], shape[3]), TemporaryStore, slices or SLICES):
            if start == 0:
                logits = part.new_empty((*part.shape[:4], shape[4]), device=part.device if slices is None else "cpu")
            logits[..., start : start + part.shape[-1]] = part
            start += part.shape[-1]
        return logits

    def _fits(self, network: EmbeddingNetwork, volume: torch.Tensor) -> bool:
        batch, _, height, width, depth = volume.shape
        memory = self.memory * 1e9 if self.memory is not None else _free_on(volume.device) / 2
        return network.decoder.bytes_per_voxel * batch * padded(height) * padded(width) * depth <= memory


def _in_parts(encode: Callable[[torch.Tensor], torch.Tensor], slices: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same embeddings: slices do not see each other in the encoder."""
    return lambda volume: torch.cat([encode(part) for part in volume.split(slices, -1)], -1)


def _free_on(device: torch.device) -> int:
    """Bytes."""
    if device.type != "cuda":
        return free_memory()
    kept_for_reuse = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept_for_reuse
