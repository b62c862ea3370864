"""Slice embeddings -> tokens that see each other by self-attention -> logits of every supervised stage."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from monai.networks.blocks import MLPBlock
from torch import nn
from torch.nn import functional as F

from ....basics.contracts import NewStore, ReadableStore
from ....networks.fast_layers import conv3d, enlarge, instance_norm
from ....networks.residual_decoder import require_several_positions
from .sinusoidal_positions import sinusoidal_positions
from .token_mixing import TokenMixing, partition, size_of


class AttentionDecoder(nn.Module):
    """(B, C, h, w, D) -> logits, finest first: (B, K, 16 h, 16 w, D), then at 8 h, 4 h, 2 h.

    The comparator of ResidualDecoder: pre-norm transformer layers over the T = D h w tokens stand in place of its 3 x 3 x 3
    convolutions. The stages that follow are pointwise, `g' = U(s(IN(W g)))` with W of 1 x 1 x 1, and enlarge as it does, so
    tokens are mixed by attention alone (but for the neighbours that interpolation blends and the statistics of IN).

    in_channels: channels of the embeddings, 256 for each modality.
    out_channels: classes K, background included.
    mlp_ratio: hidden channels of a layer's MLP, in units of `width`.
    mixing: `full`: every token attends to all; `axial`: layers attend along D, h, w in turn (Ho et al., arXiv:1912.12180);
        `windowed`: within windows, shifted by half in every other layer (Liu et al., Swin, arXiv:2103.14030, but tokens are
        not shifted around the border: the windows there are smaller).
    window: h, w and D tokens.
    channels: of each stage, coarsest first.
    supervised_stages: how many of the finest stages get a head, a 1 x 1 x 1 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 256,
        layers: int = 4,
        heads: int = 8,
        mlp_ratio: float = 3.5,
        mixing: str = "full",
        window: Sequence[int] = (4, 4, 4),
        channels: Sequence[int] = (128, 64, 32, 16),
        supervised_stages: int = 4,
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width must be even, for pairs of sines and cosines, got {width}")
        if layers < 1:
            raise ValueError(f"layers must be 1 or more, got {layers}")
        if not 1 <= supervised_stages <= len(channels):
            raise ValueError(f"supervised_stages must be between 1 and {len(channels)}, got {supervised_stages}")
        self.width = width
        self.embed = nn.Identity() if in_channels == width else nn.Linear(in_channels, width)
        self.layers = nn.ModuleList(
            TransformerLayer(width, round(mlp_ratio * width), TokenMixing(width, heads, partition(mixing, layer, window)))
            for layer in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        stages = [
            nn.Conv3d(before, after, 1, bias=False)  # the normalisation would remove a bias
            for before, after in zip([width, *channels], channels, strict=False)
        ]
        self.stages = cast(Sequence[nn.Conv3d], nn.ModuleList(stages))
        self.heads = nn.ModuleList(nn.Conv3d(c, out_channels, 1) for c in channels[-supervised_stages:])
        self.bytes_per_voxel = 110  # as `ResidualDecoder`, whose feature maps are as large

    def stream(self, embeddings: ReadableStore, new_store: NewStore, slices: int) -> Iterator[torch.Tensor]:
        raise ValueError(
            "an attention decoder cannot decode a volume part by part, and there is not memory enough for it at once; leave "
            "the inferer's mode at 'windows' and train with a smaller roi_depth, or raise the inferer's memory"
        )

    def forward(self, embeddings: torch.Tensor) -> list[torch.Tensor]:
        require_several_positions(embeddings.shape[2:])
        tokens = self.embed(embeddings.permute(0, 4, 2, 3, 1))  # (B, D, h, w, width)
        tokens = tokens + sinusoidal_positions(size_of(tokens), self.width, tokens.device).to(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        return self._enlarged_logits(self.norm(tokens).movedim(-1, 1).contiguous())

    def _enlarged_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        """(B, width, D, h, w) -> logits, finest first."""
        unsupervised = len(self.stages) - len(self.heads)
        levels = []
        for index, stage in enumerate(self.stages):
            # Convolutions of 1 x 1 x 1 commute with interpolation, and are cheaper before it: the stages' and the heads'.
            narrow = conv3d(features, stage.weight, None, (0, 0, 0))
            features = F.leaky_relu(instance_norm(narrow if index == 0 else enlarge(narrow, "bilinear")))
            if index >= unsupervised:
                levels.append(enlarge(self.heads[index - unsupervised](features), "bilinear").movedim(2, -1))
        return levels[::-1]


class TransformerLayer(nn.Module):
    """`x = x + mixing(LN(x))`, then `x + MLP(LN(x))`: a pre-norm layer with GELU, (B, D, h, w, width) -> the same."""

    def __init__(self, width: int, hidden: int, mixing: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixing = mixing
        self.mlp = MLPBlock(width, hidden)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.mixing(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))
