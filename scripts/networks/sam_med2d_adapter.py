"""What SAM-Med2D adds to every block of SAM's ViT."""

import torch
from torch import nn


class Adapter(nn.Module):
    """(N, h, w, C) -> (N, h, w, C): channels weighed by their means, convolved at half the resolution, added to the tokens.

    Cheng et al., "SAM-Med2D", arXiv:2308.16184, Fig. 4; parameters under the names of its released file. The released code
    takes even h and w alone. An odd grid counts as padded with zeros to an even one before the convolutions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)  # eps 1e-5, unlike the ViT's own
        self.channel = nn.Sequential(
            nn.Linear(channels, channels // 4, bias=False),
            nn.ReLU(),
            nn.Linear(channels // 4, channels, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        height, width = int(tokens.shape[1]), int(tokens.shape[2])
        weighed = tokens * self.channel(tokens.mean((1, 2)))[:, None, None]
        spatial = self.spatial(weighed.permute(0, 3, 1, 2))[..., :height, :width]
        return self.norm(tokens + spatial.permute(0, 2, 3, 1))
