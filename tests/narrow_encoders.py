"""Every kind of slice encoder, narrow: what all of them promise is tested on each of these."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from conftest import NARROW, NARROW_TINY_VIT

from scripts.networks import DINOSliceEncoder, MobileSAMSliceEncoder, SAM2SliceEncoder, SAMSliceEncoder
from scripts.networks.slicewise_encoder import SlicewiseEncoder
from scripts.weights.sam_checkpoint import fill_at_random

# Windows of 14 tokens, and a global block; the second stage pools, and the third has more than one block.
NARROW_HIERA = {"embed_dim": 16, "num_heads": 1, "stages": (1, 2, 3, 1), "global_att_blocks": (4,)}
NARROW_DINOV2 = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 14, "table": 5}
NARROW_DINOV3 = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 16, "storage_tokens": 4, "eps": 1e-5}


class NarrowEncoder(NamedTuple):
    """overlay: which takes an encoder of this kind; none for that of train.json."""

    build: Callable[..., SlicewiseEncoder]
    variant: Mapping[str, Any]
    overlay: str | None

    def __call__(self, **options: Any) -> SlicewiseEncoder:
        """Weights ten times those of `encoder_weights: random`, so that a mistake in any table shows."""
        encoder = self.build(self.variant, **options)
        fill_at_random(encoder, seed=0, std=0.2)
        return encoder


NARROW_ENCODERS = {
    "sam": NarrowEncoder(SAMSliceEncoder, NARROW, None),
    "mobile_sam": NarrowEncoder(MobileSAMSliceEncoder, NARROW_TINY_VIT, "mobile_sam"),
    "sam2": NarrowEncoder(SAM2SliceEncoder, NARROW_HIERA, "sam2"),
    "dinov2": NarrowEncoder(DINOSliceEncoder, NARROW_DINOV2, "dinov2"),
    "dinov3": NarrowEncoder(DINOSliceEncoder, NARROW_DINOV3, "dinov3"),
}
