"""Image -> MedT: axial attention on the whole image and on patches of it -> logits."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .gated_axial_attention import AxialAttention, GatedAxialAttention

PATCHES = 4  # along each axis of the image


class MedT(nn.Module):
    """(N, M, h, w) -> logits (N, K, h, w), h and w multiples of 4: Valanarasu et al. (arXiv:2102.10662).

    The global branch sees the image, by two stages of gated axial attention; the local branch each of its 4 x 4 patches, by
    four stages. Their sum goes through the head. As in the released code the local branch attends without positions.

    Departures from it: all patches are one batch, for batch normalisation too; maps are enlarged to the size of what they are
    added to and pooled with the last odd line, so that patches need not be multiples of 32 pixels (then nothing changes);
    layers that it makes and never calls are not there.

    img_size: of the square image that the tables of relative positions are made for; for others they are resampled.
    channels: of attention at each stage of the local branch, finest first; the global branch has the first two.
    blocks: of each stage.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: int = 128,
        channels: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (1, 2, 4, 1),
        num_heads: int = 8,
        stem_channels: int = 128,
    ) -> None:
        super().__init__()
        width = channels[0]
        shallow = (channels[:2], blocks[:2], num_heads)
        self.global_branch = AxialUNet(Stem(in_channels, stem_channels, width // 2), *shallow, img_size=img_size)
        # Four times the width of the global one in the paper's code, where the global branch leaves that many channels.
        self.local_branch = AxialUNet(Stem(in_channels, stem_channels, 4 * width), channels, blocks, num_heads, bottom=True)
        self.convolution = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.global_branch(image) + self.local(image)
        return self.head(F.relu(self.convolution(features)))

    def local(self, image: torch.Tensor) -> torch.Tensor:
        """The local branch on each patch by itself: (N, M, h, w) -> (N, C, h, w)."""
        grid = image.unflatten(3, (PATCHES, -1)).unflatten(2, (PATCHES, -1))  # (N, M, 4, h / 4, 4, w / 4)
        features = self.local_branch(grid.permute(0, 2, 4, 1, 3, 5).flatten(0, 2))  # (N * 16, C, h / 4, w / 4)
        grid = features.unflatten(0, (-1, PATCHES, PATCHES)).permute(0, 3, 1, 4, 2, 5)
        return grid.flatten(4, 5).flatten(2, 3)


class AxialUNet(nn.Module):
    """(N, M, h, w) -> (N, C, h, w): stages of axial attention at 1/2, 1/4, ... of the size, and back with skips.

    img_size: of the tables of relative positions; None: attention without positions.
    bottom: whether one more convolution looks at half the coarsest size.
    """

    def __init__(
        self,
        stem: "Stem",
        channels: Sequence[int],
        blocks: Sequence[int],
        num_heads: int,
        img_size: int | None = None,
        bottom: bool = False,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList()
        size, features = img_size and img_size // 2, stem.out_channels
        for i, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(count):
                stride = 2 if i and not block else 1
                stage.append(AxialBlock(features, width, stride, num_heads, size))
                size, features = size and size // stride, 2 * width
            self.stages.append(stage)
        self.bottom = nn.Conv2d(features, features, 3, stride=2, padding=1) if bottom else None
        before, after = [2 * c for c in reversed(channels)], [2 * c for c in reversed(channels[:-1])] + [channels[0]]
        self.decoder = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for b, a in zip(before, after, strict=True))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features, skips = self.stem(image), []
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        if self.bottom is not None:
            features = features + enlarge(self.bottom(features), features)
        for convolution, skip in zip(self.decoder, skips[-2::-1], strict=False):
            features = skip + enlarge(convolution(features), skip)
        return enlarge(self.decoder[-1](features), image)


class Stem(nn.Sequential):
    """(N, M, h, w) -> (N, C, h / 2, w / 2)."""

    def __init__(self, in_channels: int, middle_channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        widths = (in_channels, out_channels, middle_channels, out_channels)
        for i, kernel_size in enumerate((7, 3, 3)):
            stride, padding = 1 if i else 2, kernel_size // 2
            self.append(nn.Conv2d(widths[i], widths[i + 1], kernel_size, stride, padding, bias=False))
            self.append(nn.BatchNorm2d(widths[i + 1]))
            self.append(nn.ReLU())


class AxialBlock(nn.Module):
    """(N, in, h, w) -> (N, 2 C, h / stride, w / stride): attention of C channels along both axes in a residual bottleneck."""

    def __init__(self, in_channels: int, channels: int, stride: int, num_heads: int, size: int | None) -> None:
        super().__init__()

        def attention(axis: int) -> nn.Module:
            if size is None:
                return AxialAttention(channels, num_heads, axis)
            return GatedAxialAttention(channels, num_heads, axis, size)

        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            attention(axis=2),
            attention(axis=3),
            nn.AvgPool2d(stride, ceil_mode=True),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != 2 * channels:
            self.shortcut.append(nn.Conv2d(in_channels, 2 * channels, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(2 * channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.relu(self.residual(features) + self.shortcut(features))


def enlarge(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """To the height and width of another map, then rectified."""
    return F.relu(F.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False))
