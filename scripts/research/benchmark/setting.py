"""Sizes of a benchmark -> the networks and volumes that it measures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...networks import SAM3D, MobileSAMSliceEncoder, ResidualDecoder, SAMSliceEncoder
from ...networks.segment_anything import modeling
from ...networks.slicewise_encoder import SlicewiseEncoder
from ...weights.sam_checkpoint import fill_at_random, random_values
from ..measure.published_forward import Sam


@dataclass(frozen=True)
class Setting:
    """The defaults are those of the figures in docs/research/performance.md."""

    repeats: int = 5
    plots: Path | None = None  # folder
    device: str = "cpu"
    variant: str | Mapping[str, Any] = "vit_b"
    mobile_variant: str | Mapping[str, Any] = "vit_t"
    channels: tuple[int, ...] = (128, 64, 32, 16)  # of the decoder
    classes: int = 4
    plane: int = 128  # pixels on a side
    depth: int = 32  # slices
    encoder_planes: tuple[int, ...] = (128, 224, 256)
    encoder_depth: int = 16
    attention_grid: int = 64  # tokens on a side, of 1024 px
    stage_depths: tuple[int, ...] = (16, 24, 32)
    memory_depths: tuple[int, ...] = (32, 64, 128, 512)
    timed_depth: int = 128  # beyond, streaming is not timed: minutes each time
    size_planes: tuple[int, ...] = (96, 128, 192, 256)
    size_plane_depth: int = 16
    size_depths: tuple[int, ...] = (32, 64, 128)
    reading_cases: int = 20
    tuning_shape: tuple[int, int] = (128, 8)  # pixels on a side, slices
    peer_width: int = 1  # divides the peers' channels

    def encoder(self, **tuning: Any) -> SAMSliceEncoder:
        """The same random weights every time. tuning: what is trained of it."""
        encoder = SAMSliceEncoder(self.variant, **tuning)
        encoder.load_state_dict(random_values(encoder.pretrained(), seed=0), strict=False)
        return encoder.to(self.device)

    def encoders(self) -> dict[str, SlicewiseEncoder]:
        """Of the published sizes, and ViT-B first."""
        found = {
            "SAM ViT-B": self.encoder(),
            "MobileSAM": MobileSAMSliceEncoder(self.mobile_variant),
            "SAM-Med2D": SAMSliceEncoder(self.variant, image_size=256, adapters=True),
        }
        for encoder in found.values():
            fill_at_random(encoder, seed=0)
        return found

    def parts(self, **tuning: Any) -> tuple[SAMSliceEncoder, ResidualDecoder]:
        torch.manual_seed(0)
        encoder = self.encoder(**tuning)
        return encoder, ResidualDecoder(encoder.out_channels, self.classes, self.channels).to(self.device)

    def network(self) -> SAM3D:
        return SAM3D(*self.parts()).eval()

    def sam(self, weights: dict[str, torch.Tensor], plane: int) -> Sam:
        """segment_anything's own Sam, without prompts and masks, constructed and filled with `weights` of `image_encoder`.

        SAM runs at 1024 px. For another plane its absolute position table is resampled; its code does the others itself.
        """
        image_encoder = SAMSliceEncoder(self.variant).image_encoder  # segment_anything's class, whose own forward runs here
        image_encoder.load_state_dict(weights)
        tokens = (plane // 16, plane // 16)
        table = F.interpolate(image_encoder.pos_embed.permute(0, 3, 1, 2), tokens, mode="bicubic", align_corners=False)
        image_encoder.pos_embed = nn.Parameter(table.permute(0, 2, 3, 1), requires_grad=False)
        image_encoder.img_size = plane
        return modeling.Sam(image_encoder, nn.Identity(), nn.Identity()).eval().to(self.device)

    def volume(self, plane: int | None = None, depth: int | None = None) -> torch.Tensor:
        """(1, 1, plane, plane, depth) in [0, 1]."""
        generator = torch.Generator().manual_seed(0)
        plane, depth = plane or self.plane, depth or self.depth
        return torch.rand(1, 1, plane, plane, depth, generator=generator).to(self.device)


# Seconds instead of an hour: every line of the benchmark, no figure of interest.
QUICK = Setting(
    repeats=1,
    variant={"embed_dim": 32, "depth": 3, "num_heads": 2, "global_attn_indexes": (1,)},
    mobile_variant={
        "embed_dims": (8, 16, 16, 16),
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 1, 1),
        "window_sizes": (7, 7, 14, 7),
    },
    channels=(16, 8, 8, 4),
    plane=32,
    depth=64,  # SwinUNETR takes multiples of 32, and normalises over several positions of 32 x 32 x 32 each
    encoder_planes=(64, 96),
    encoder_depth=2,
    attention_grid=16,
    stage_depths=(2, 3),
    memory_depths=(16, 32),
    size_planes=(32, 64),
    size_plane_depth=2,
    size_depths=(4, 8),
    reading_cases=4,
    tuning_shape=(32, 4),
    peer_width=2,
)
