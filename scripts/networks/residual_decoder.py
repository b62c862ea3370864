"""Slice embeddings -> feature maps of rising in-plane resolution -> logits of every supervised stage."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

INTERPOLATION = {"linear": "trilinear", "nearest": "nearest-exact"}


class ResidualDecoder(nn.Module):
    """(B, C, h, w, D) -> logits, finest first: (B, K, 16 h, 16 w, D), then at 8 h, 4 h, 2 h.

    Every stage is `g' = U(s(r1 + r2))` with `r1 = IN(W2 * s(IN(W1 * g)))` and `r2 = IN(W0 * g)`: 3 x 3 x 3 convolutions,
    instance normalisation, leaky ReLU, and upsampling by 2 in the plane only, because the encoder never shrinks D.
    The defaults are this bundle's; the decoder of Bui et al., "SAM3D" (arXiv:2309.03493) is
    `shortcut_kernel=1, upsample="nearest", supervised_stages=3, head="convolutional", conv_bias=True`.

    in_channels: channels of the embeddings, 256 for each modality.
    out_channels: classes K, background included.
    channels: of each stage, coarsest first.
    supervised_stages: how many of the finest stages get a head.
    head: `linear` is a 1 x 1 x 1 convolution; `convolutional` is 3 x 3 x 3 to half the channels, IN, leaky ReLU, 1 x 1 x 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 64, 32, 16),
        shortcut_kernel: int = 3,
        upsample: str = "linear",
        supervised_stages: int = 4,
        head: str = "linear",
        conv_bias: bool = False,
    ) -> None:
        super().__init__()
        if upsample not in INTERPOLATION:
            raise ValueError(f"upsample must be one of {', '.join(INTERPOLATION)}, got {upsample!r}")
        if head not in ("linear", "convolutional"):
            raise ValueError(f"head must be 'linear' or 'convolutional', got {head!r}")
        if shortcut_kernel % 2 == 0:
            raise ValueError(f"shortcut_kernel must be odd, so that the size stays, got {shortcut_kernel}")
        if not 1 <= supervised_stages <= len(channels):
            raise ValueError(f"supervised_stages must be between 1 and {len(channels)}, got {supervised_stages}")
        self.upsample = upsample
        self.stages = nn.ModuleList(
            ResidualDoubleConv3d(before, after, shortcut_kernel, conv_bias)
            for before, after in zip([in_channels, *channels], channels, strict=False)
        )
        make_head = linear_head if head == "linear" else convolutional_head
        self.heads = nn.ModuleList(make_head(c, out_channels) for c in channels[-supervised_stages:])
        # A 1 x 1 x 1 convolution commutes with interpolation, and is cheaper before it.
        self.head_before_upsampling = head == "linear"

    def forward(self, embeddings: torch.Tensor) -> list[torch.Tensor]:
        if embeddings.shape[2:].numel() == 1:
            raise ValueError(
                "the decoder normalises over the positions of a volume and this one has a single position: it must be larger "
                "than one token (16 x 16 pixels) in the plane, or have more than one slice"
            )
        heads = [None] * (len(self.stages) - len(self.heads)) + list(self.heads)
        levels = []
        features = embeddings
        for stage, head in zip(self.stages, heads, strict=True):
            narrow = stage(features)
            last = stage is self.stages[-1]
            if not (last and self.head_before_upsampling):
                features = self._enlarge(narrow)
            if head is not None:
                levels.append(self._enlarge(head(narrow)) if self.head_before_upsampling else head(features))
        return levels[::-1]

    def _enlarge(self, features: torch.Tensor) -> torch.Tensor:
        """Twice the size in the plane, the same depth."""
        return F.interpolate(features, scale_factor=(2.0, 2.0, 1.0), mode=INTERPOLATION[self.upsample])


class ResidualDoubleConv3d(nn.Module):
    """`s(IN(W2 * s(IN(W1 * g))) + IN(W0 * g))` at the resolution of g, (B, in, h, w, D) -> (B, out, h, w, D)."""

    def __init__(self, in_channels: int, out_channels: int, shortcut_kernel: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.shortcut = nn.Conv3d(in_channels, out_channels, shortcut_kernel, padding=shortcut_kernel // 2, bias=bias)
        self.norm = nn.InstanceNorm3d(out_channels)  # without affine parameters: one serves all three places
        self.activation = nn.LeakyReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        residual = self.norm(self.conv2(self.activation(self.norm(self.conv1(features)))))
        return self.activation(residual + self.norm(self.shortcut(features)))


def linear_head(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv3d(in_channels, out_channels, 1)


def convolutional_head(in_channels: int, out_channels: int) -> nn.Module:
    middle = in_channels // 2
    return nn.Sequential(
        nn.Conv3d(in_channels, middle, 3, padding=1),
        nn.InstanceNorm3d(middle),
        nn.LeakyReLU(),
        nn.Conv3d(middle, out_channels, 1),
    )
