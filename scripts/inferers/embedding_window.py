"""A volume of any depth -> logits, each slice encoded once, the decoder in windows along the depth."""

from typing import Any

import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import nn
from torch.nn import functional as F


class EmbeddingWindowInferer(Inferer):
    """(B, M, H, W, D) -> (B, K, H, W, D).

    The decoder's instance normalisation sees all that it is given, so it should see windows of the depth that it was trained
    on. Slices do not see each other in the encoder, so each is encoded once and MONAI's sliding window runs over the
    embeddings. A shallower volume is padded to one window with empty slices, as in training, and cropped back.

    roi_depth: slices in a window, the depth of the training crops.
    overlap: of neighbouring windows, 0 to below 1; blended with Gaussian weights.
    """

    def __init__(self, roi_depth: int, overlap: float = 0.5) -> None:
        super().__init__()
        self.roi_depth = roi_depth
        self.overlap = overlap

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        height, width, depth = inputs.shape[2:]
        if depth <= self.roi_depth:
            before = (self.roi_depth - depth) // 2
            window = F.pad(inputs, (before, self.roi_depth - depth - before))
            return network(window)[..., before : before + depth]
        embeddings = network.encoder(inputs)
        rows, columns = embeddings.shape[2:4]
        windows = SlidingWindowInferer(roi_size=(rows, columns, self.roi_depth), overlap=self.overlap, mode="gaussian")
        # Sliding windows enlarge by whole factors: decode to the next multiples of the embedding's size, then crop.
        plane = (height + -height % rows, width + -width % columns)
        logits = windows(embeddings, lambda window: network.decode(window, plane))
        return logits[:, :, :height, :width]
