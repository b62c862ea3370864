"""Slices -> ResNet features -> transformer -> upsampling with the ResNet's features as skips -> logits."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from .cascaded_upsampler import CascadedUpsampler
from .hybrid_resnet import HybridResNet
from .vision_transformer import VisionTransformer


class TransUNet(nn.Module):
    """(N, M, H, W) in [0, 1] -> logits (N, K, H, W); H and W multiples of 16, together more than 16 x 16.

    Chen et al., "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation", arXiv:2102.04306, with the
    "R50-ViT-B_16" configuration of its released code as defaults: 105.28 M parameters for K = 9.

    Intensities stay in [0, 1] as in the released code, although Google trained the ResNet on [-1, 1]: its kernels have mean 0
    and group normalisation follows, so that x and 2 x - 1 give the same features, but for what the padding of 0 at the image's
    edge is: black in the one, grey in the other.

    in_channels: one is repeated to three, as in the released code, since the pretrained ResNet takes colours.
    out_channels: classes K, background included.
    width, units: of the ResNet; position_grid: see `VisionTransformer`.
    decoder_channels: of the decoder's first convolution and of its stages.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        units: Sequence[int] = (3, 4, 9),
        hidden_size: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        dropout_rate: float = 0.1,
        position_grid: int = 14,
        decoder_channels: Sequence[int] = (512, 256, 128, 64, 16),
    ) -> None:
        super().__init__()
        self.copies = 3 if in_channels == 1 else 1
        self.resnet = HybridResNet(self.copies * in_channels, width, units)
        self.transformer = VisionTransformer(
            16 * width, hidden_size, num_layers, num_heads, mlp_dim, dropout_rate, position_grid
        )
        self.decoder = CascadedUpsampler(hidden_size, decoder_channels, (8 * width, 4 * width, width))
        self.head = nn.Conv2d(decoder_channels[-1], out_channels, 3, padding=1)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        features, *skips = self.resnet(slices.repeat(1, self.copies, 1, 1))
        return self.head(self.decoder(self.transformer(features), skips))

    def attention_maps(self, slices: torch.Tensor) -> Iterator[torch.Tensor]:
        """Of each layer, first to last, (N, heads, T, T) between the T = H/16 W/16 tokens of a slice, row by row."""
        return self.transformer.attention_maps(self.resnet(slices.repeat(1, self.copies, 1, 1))[0])
