"""A volume -> logits as published: SAM's own encoder on one slice after the other, then a decoder for all of them."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn


class Sam(Protocol):
    """segment_anything's class of this name."""

    image_encoder: nn.Module

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in 0..255 -> normalised, padded to the encoder's size."""
        ...


def published_forward(
    volume: torch.Tensor, build_sam: Callable[[], Sam], decoder: Callable[[torch.Tensor], list[torch.Tensor]]
) -> torch.Tensor:
    """(1, 1, H, W, D) in [0, 1] -> (1, K, H, W, D), H and W multiples of 16.

    The forward of Bui et al., "SAM3D" (arXiv:2309.03493). Their code builds SAM in every forward; `build_sam` may do so, or
    return one built before.
    """
    sam = build_sam()
    embeddings = [sam_embeddings(sam, image) for image in volume.unbind(-1)]
    return decoder(torch.stack(embeddings, -1))[0]


def sam_embeddings(sam: Sam, images: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) in [0, 1] -> (N, 256, H / 16, W / 16) by SAM's own preprocessing and encoder."""
    return sam.image_encoder(sam.preprocess(255 * images.expand(-1, 3, -1, -1)))
