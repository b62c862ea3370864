"""A volume of any depth -> logits, by any network of the bundle."""

from typing import Any

import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import nn

from ..basics.contracts import is_on_embeddings
from .embedding_inferer import EmbeddingInferer


class VolumeInferer(Inferer):
    """(B, M, H, W, D) -> (B, K, H, W, D).

    A network with an encoder for slices goes through `EmbeddingInferer`, any other one through MONAI's sliding window, in
    windows of the same depth and blended alike.

    Args:
        roi_depth: slices in a window, the depth of the training crops.
        mode: `windows`, or `whole` to give the network all slices at once.
        overlap: of neighbouring windows, 0 to below 1.
        memory: GB that a decoder on embeddings may take; None: half of what is free.

    Raises:
        ValueError: for another mode.

    Example:
        >>> import torch
        >>> from scripts.inferers import VolumeInferer
        >>> inferer = VolumeInferer(roi_depth=8)
        >>> tuple(inferer(torch.rand(1, 1, 16, 24, 11), torch.nn.Conv3d(1, 4, 3, padding=1)).shape)
        (1, 4, 16, 24, 11)
    """

    def __init__(self, roi_depth: int, mode: str = "windows", overlap: float = 0.5, memory: float | None = None) -> None:
        super().__init__()
        self.on_embeddings = EmbeddingInferer(roi_depth, mode, overlap, memory)

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        if is_on_embeddings(network):
            return self.on_embeddings(inputs, network)
        if self.on_embeddings.mode == "whole":
            return network(inputs)
        window = (*inputs.shape[2:4], self.on_embeddings.roi_depth)
        windows = SlidingWindowInferer(window, overlap=self.on_embeddings.overlap, mode="gaussian")
        return windows(inputs, network)  # pyright: ignore[reportReturnType] - a tensor, as the network gives in evaluation
