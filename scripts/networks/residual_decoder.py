"""Slice embeddings -> feature maps of rising in-plane resolution -> logits of every supervised stage."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from operator import iadd
from typing import Any, cast

import torch
from torch import nn

from ..basics.contracts import DepthStore, NewStore, ReadableStore
from .depth_stream import Layer, View, convolve, keep, normalise, parts, unchanged
from .fast_layers import conv3d, enlarge, instance_norm

INTERPOLATION = {"linear": "bilinear", "nearest": "nearest-exact"}  # in the plane


class ResidualDecoder(nn.Module):
    """(B, C, h, w, D) -> logits, finest first: (B, K, 16 h, 16 w, D), then at 8 h, 4 h, 2 h.

    Every stage is `g' = U(s(r1 + r2))` with `r1 = IN(W2 * s(IN(W1 * g)))` and `r2 = IN(W0 * g)`: 3 x 3 x 3 convolutions,
    instance normalisation, leaky ReLU, and upsampling by 2 in the plane only, because the encoder never shrinks D.
    The defaults are this bundle's; the decoder of Bui et al., "SAM3D" (arXiv:2309.03493) is
    `shortcut_kernel=1, upsample="nearest", supervised_stages=3, head="convolutional", conv_bias=True`.

    With `detail_channels` a stage's `g` has the channels of two tensors: what comes from below, and a level of features of the
    image itself in the same resolution (`DetailPyramid`). Embeddings of many channels are soon learnt by heart from few cases:
    `entrance_channels` narrows them first, and `embedding_dropout` hides some of them in every training step.

    Inside, volumes are (B, C, D, h, w) and so are kernels.

    Args:
        in_channels: channels of the embeddings, 256 for each modality; 0, with detail, for a network without an encoder.
        out_channels: classes K, background included.
        channels: of each stage, coarsest first.
        shortcut_kernel: edge of W0, 1 or 3.
        upsample: `linear` or `nearest`.
        supervised_stages: how many of the finest stages get a head.
        head: `linear` is a 1 x 1 x 1 convolution; `convolutional` is 3 x 3 x 3 to half the channels, IN, leaky ReLU,
            1 x 1 x 1.
        conv_bias: of the stages' convolutions; the normalisation after them removes it.
        detail_channels: of the levels, one beside every stage, coarsest first, 0 beside one without; (): no detail.
        entrance_channels: to which a 1 x 1 x 1 convolution narrows the embeddings; None: as they are.
        embedding_dropout: share of the embeddings' channels that are zero in a training step, 0 to below 1.

    Raises:
        ValueError: for an option that is not there, and for embeddings of a single position.

    Example:
        >>> import torch
        >>> from scripts.networks import ResidualDecoder
        >>> decoder = ResidualDecoder(in_channels=256, out_channels=4)
        >>> [tuple(logits.shape) for logits in decoder(torch.rand(1, 256, 2, 3, 8))]
        [(1, 4, 32, 48, 8), (1, 4, 16, 24, 8), (1, 4, 8, 12, 8), (1, 4, 4, 6, 8)]
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
        detail_channels: Sequence[int] = (),
        entrance_channels: int | None = None,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if upsample not in INTERPOLATION:
            raise ValueError(f"upsample must be one of {', '.join(INTERPOLATION)}, got {upsample!r}")
        if head not in ("linear", "convolutional"):
            raise ValueError(f"head must be 'linear' or 'convolutional', got {head!r}")
        if shortcut_kernel not in (1, 3):
            raise ValueError(f"shortcut_kernel must be 1 or 3, got {shortcut_kernel}")
        if not 0 <= embedding_dropout < 1:
            raise ValueError(f"embedding_dropout must be from 0 to below 1, got {embedding_dropout}")
        if not 1 <= supervised_stages <= len(channels):
            raise ValueError(f"supervised_stages must be between 1 and {len(channels)}, got {supervised_stages}")
        if detail_channels and len(detail_channels) != len(channels):
            raise ValueError(
                f"detail_channels must be one number for each of the {len(channels)} stages, got {list(detail_channels)}"
            )
        if not in_channels and not detail_channels:
            raise ValueError(
                "a decoder reads embeddings, detail, or both, and here are neither: give --network detail+no_encoder, not "
                "no_encoder alone"
            )
        self.upsample = upsample
        self.entrance = nn.Sequential()
        if in_channels and embedding_dropout:
            self.entrance.append(nn.Dropout3d(embedding_dropout))
        if in_channels and entrance_channels:
            self.entrance.append(nn.Conv3d(in_channels, entrance_channels, 1, bias=False))
            in_channels = entrance_channels
        stages = [
            ResidualDoubleConv3d(below + level, after, shortcut_kernel, conv_bias)
            for below, level, after in zip(
                [in_channels, *channels], detail_channels or [0] * len(channels), channels, strict=False
            )
        ]
        self.stages = cast(Sequence[ResidualDoubleConv3d], nn.ModuleList(stages))
        make_head = linear_head if head == "linear" else convolutional_head
        self.heads = nn.ModuleList(make_head(c, out_channels) for c in channels[-supervised_stages:])
        # A 1 x 1 x 1 convolution commutes with interpolation, and is cheaper before it.
        self.head_before_upsampling = head == "linear"
        # At the widest point, of the full plane and in fp32, the embeddings of 256 channels included: measured for 4 classes
        # (docs/research/complexity.md), with room for the logits of more.
        self.bytes_per_voxel = (110 if self.head_before_upsampling else 220) + 4 * max(0, out_channels - 4)

    def forward(self, embeddings: torch.Tensor, levels: Sequence[torch.Tensor | None] = ()) -> list[torch.Tensor]:
        """Of embeddings and, for a decoder made for detail, of its levels.

        Args:
            embeddings: (B, C, h, w, D).
            levels: (B, C', D, h', w') for every stage, coarsest first, None where it has none; a list is emptied, so that none
                outlives its stage.
        """
        require_several_positions(embeddings.shape[2:])
        narrow = embeddings.movedim(-1, 2)  # (B, C, D, h, w)
        before: Layer = self.entrance
        heads = [None] * (len(self.stages) - len(self.heads)) + list(self.heads)
        results = []
        left = levels if isinstance(levels, list) else [*levels]
        for stage, head in zip(self.stages, heads, strict=True):
            narrow, before = stage(narrow, before, left.pop(0) if left else None), self._enlarge
            if head is not None:
                logits = self._enlarge(head(narrow)) if self.head_before_upsampling else head(self._enlarge(narrow))
                results.append(logits.movedim(2, -1))
        return results[::-1]

    def stream(
        self, embeddings: ReadableStore, new_store: NewStore, slices: int, levels: Sequence[ReadableStore | None] = ()
    ) -> Iterator[torch.Tensor]:
        """The finest logits of `forward`, (B, K, 16 h, 16 w, d) part by part, in memory that does not grow with the depth.

        Args:
            embeddings: (B, C, D, h, w).
            new_store: makes an empty store for a layer's results.
            slices: in a part.
            levels: as of `forward`.
        """
        require_several_positions((embeddings.depth, *embeddings.read(0, 1).shape[3:]))
        below = View(embeddings, self.entrance)
        for stage, level in zip(self.stages[:-1], levels or [None] * len(self.stages), strict=False):
            narrow = stage.stream(below, level, new_store, slices)
            below = View(keep(narrow, new_store()), self._enlarge)
        narrow, head = self.stages[-1].stream(below, levels[-1] if levels else None, new_store, slices), self.heads[-1]
        if self.head_before_upsampling:
            logits = (self._enlarge(head(part)) for part in narrow)
        else:
            logits = self._stream_convolutional_head(keep(narrow, new_store()), new_store, slices)
        for part in logits:
            yield part.movedim(2, -1)

    def _stream_convolutional_head(self, store: DepthStore, new_store: NewStore, slices: int) -> Iterator[torch.Tensor]:
        head: Any = self.heads[-1]
        convolution, _, activation, last = head
        middle = new_store()
        norm = normalise(convolve(store, slices, lambda part: inside(convolution, part), before=self._enlarge), middle)
        for part in parts(middle, slices):
            yield last(activation(norm(part)))

    def _enlarge(self, features: torch.Tensor) -> torch.Tensor:
        return enlarge(features, INTERPOLATION[self.upsample])


class ResidualDoubleConv3d(nn.Module):
    """`s(IN(W2 * s(IN(W1 * g))) + IN(W0 * g))` of `g = before(features)`, at its size: (B, out, D, h, w).

    The stage itself enlarges its input, so that the enlarged features need not outlive the convolutions that read them.
    """

    def __init__(self, in_channels: int, out_channels: int, shortcut_kernel: int, bias: bool) -> None:
        super().__init__()
        # W1 and W0 read the same input: kernels of one size make one convolution, W1's channels first.
        together = shortcut_kernel == 3
        self.conv1 = nn.Conv3d(in_channels, 2 * out_channels if together else out_channels, 3, padding=1, bias=bias)
        self.shortcut = None if together else nn.Conv3d(in_channels, out_channels, shortcut_kernel, bias=bias)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.activation = nn.LeakyReLU()

    def forward(self, features: torch.Tensor, before: Layer = unchanged, level: torch.Tensor | None = None) -> torch.Tensor:
        """level: (B, C', D, h, w), the last channels of g."""
        inner, shortcut = self._branches([before(features), level])
        residual = instance_norm(conv3d(self.activation(inner), self.conv2.weight, self.conv2.bias, (1, 1, 1)))
        return self.activation(residual + shortcut)

    def stream(
        self, below: ReadableStore, level: ReadableStore | None, new_store: NewStore, slices: int
    ) -> Iterator[torch.Tensor]:
        """`forward` part by part; below: g but for the channels of its level."""
        first, second = new_store(), new_store()
        norm = normalise(self._stream_first([below, level], slices), first)

        def inner(part: torch.Tensor) -> torch.Tensor:
            return self.activation(norm(part).chunk(2, 1)[0])

        residual_norm = normalise(convolve(first, slices, lambda part: inside(self.conv2, part), before=inner), second)
        for both, residual in zip(parts(first, slices), parts(second, slices), strict=True):
            yield self.activation(residual_norm(residual) + norm(both).chunk(2, 1)[1])

    def _branches(self, sources: Sequence[torch.Tensor | None]) -> Sequence[torch.Tensor]:
        """IN(W1 * g) and IN(W0 * g), each (B, out, D, h, w), of g = the channels of all sources.

        Each is the sum of what the sources give by themselves: they are never copied into one tensor, the largest of all.
        """
        if self.shortcut is None:
            return instance_norm(sum_of_products(self.conv1, sources)).chunk(2, 1)
        return [instance_norm(sum_of_products(convolution, sources)) for convolution in (self.conv1, self.shortcut)]

    def _stream_first(self, sources: Sequence[ReadableStore | None], slices: int) -> Iterator[torch.Tensor]:
        """W1 * g and W0 * g one behind the other, (B, 2 out, d, h, w), part by part."""
        products, channel = [], 0
        for source in sources:
            if source is not None and (channels := source.read(0, 1).shape[1]):  # of no encoder there are none
                products.append(convolve(source, slices, partial(self._first, channel=channel)))
                channel += channels
        return map(sum_of, zip(*products, strict=True))

    def _first(self, source: torch.Tensor, channel: int) -> torch.Tensor:
        """Of one source, whose channels begin with number `channel` of g, without its first and its last slice."""
        first = product(self.conv1, source, channel, depth_padding=0)
        if self.shortcut is None:
            return first
        return torch.cat([first, product(self.shortcut, source[:, :, 1:-1], channel, depth_padding=0)], 1)


def sum_of_products(convolution: nn.Conv3d, sources: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """The convolution of all sources' channels, its depth padded to the same size."""

    def products() -> Iterator[torch.Tensor]:
        channel = 0
        for source in sources:
            if source is not None and source.shape[1]:  # of no encoder there are no channels
                yield product(convolution, source, channel, depth_padding=convolution.kernel_size[0] // 2)
                channel += source.shape[1]

    return sum_of(products())


def product(convolution: nn.Conv3d, source: torch.Tensor, channel: int, depth_padding: int) -> torch.Tensor:
    """What the channels of g that begin with number `channel` add to its convolution; the first of them carry the bias."""
    weight = convolution.weight[:, channel : channel + source.shape[1]]
    side = convolution.kernel_size[1] // 2
    return conv3d(source, weight, convolution.bias if channel == 0 else None, (depth_padding, side, side))


def sum_of(products: Iterable[torch.Tensor]) -> torch.Tensor:
    """In place, one after the other as they are made: no gradient needs what a convolution gave."""
    return reduce(iadd, products)


def inside(convolution: nn.Conv3d, features: torch.Tensor) -> torch.Tensor:
    """A convolution of 3 x 3 x 3 without padding along the depth, (B, C, d + 2, h, w) -> (B, C', d, h, w)."""
    return conv3d(features, convolution.weight, convolution.bias, (0, 1, 1))


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


def require_several_positions(size: Sequence[int]) -> None:
    """Instance normalisation has nothing to normalise over a single one. Raises ValueError."""
    if math.prod(size) == 1:
        raise ValueError(
            "the decoder normalises over the positions of a volume and this one has a single position: it must be larger "
            "than one token (16 x 16 pixels) in the plane, or have more than one slice"
        )
