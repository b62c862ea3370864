"""Volume -> slices -> MobileSAM's TinyViT image encoder -> stacked slice embeddings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from .slicewise_encoder import PIXEL_MEAN, PIXEL_STD, SlicewiseEncoder, dimensions_of
from .tiny_vit import TinyViT

# The published encoder, TinyViT-5M (mobile_sam/build_sam.py).
VARIANTS: dict[str, dict[str, Any]] = {
    "vit_t": {
        "embed_dims": (64, 128, 160, 320),
        "depths": (2, 2, 6, 2),
        "num_heads": (2, 4, 5, 10),
        "window_sizes": (7, 7, 14, 7),
    }
}


class MobileSAMSliceEncoder(SlicewiseEncoder):
    """(B, M, H, W, D) in [0, 1] -> (B, 256 * M, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    Numerically MobileSAM's image encoder (Zhang et al., "Faster Segment Anything", arXiv:2306.14289) on the slice repeated to
    three channels, with 5.7 M parameters instead of ViT-B's 89.7 M. Its modules hold the parameters under their official names,
    so `mobile_sam.pt` loads unchanged; see `TinyViT` for slices of other sizes than 1024 x 1024.

    Args:
        variant: `vit_t`, or the dimensions of another TinyViT (keys as in `VARIANTS`, and `out_channels`).
        memory: GB (10^9 bytes) that the intermediate results of the slices encoded at once may take, where a single slice
            takes less; None: by device, 0.1 on a CPU and 2 on CUDA. Changes speed, not the result.
        trainable: False keeps the encoder in `eval()` and under `no_grad`.
        pixel_mean: of 0..255 RGB, subtracted from what the TinyViT sees; SAM's by default.
        pixel_std: by which the rest is divided.

    Raises:
        ValueError: for another variant, and memory or a deviation that is not positive.

    Example:
        >>> import torch
        >>> from scripts.networks import MobileSAMSliceEncoder
        >>> encoder = MobileSAMSliceEncoder()
        >>> volume = torch.rand(1, 2, 40, 33, 3)
        >>> tuple(encoder(volume).shape)
        (1, 512, 3, 3, 3)
    """

    unused_tensors = ("image_encoder.norm_head.", "image_encoder.head.")  # a classifier, which MobileSAM does not call

    def __init__(
        self,
        variant: str | Mapping[str, Any] = "vit_t",
        memory: float | None = None,
        trainable: bool = False,
        pixel_mean: Sequence[float] = PIXEL_MEAN,
        pixel_std: Sequence[float] = PIXEL_STD,
    ) -> None:
        super().__init__(TinyViT(**dimensions_of(variant, VARIANTS)), memory, trainable, pixel_mean, pixel_std)

    @property
    def out_channels(self) -> int:
        return self.image_encoder.neck[0].out_channels

    @property
    def token_bytes(self) -> int:
        widest = self.image_encoder.layers[0].blocks[0].conv1.c.out_channels  # at 1/4: 16 places in each token
        return 4 * 16 * 3 * widest

    def encoding(self, height: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
        return self._encode

    def _encode(self, slices: torch.Tensor) -> torch.Tensor:
        """(N, 1, 16 h, 16 w) in [0, 1] -> (N, 256, h, w)"""
        mean, std = (slices.new_tensor(value).view(3, 1, 1) for value in (self.pixel_mean, self.pixel_std))
        images = (255 * slices - mean) / std  # (N, 3, 16 h, 16 w)
        # With channels last in memory neither the convolutions nor the attention between them have to reorder their input.
        return self.image_encoder(images.contiguous(memory_format=torch.channels_last))
