"""Volume -> slices -> an image encoder -> stacked slice embeddings: what the slice encoders share."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from ..basics.contracts import Level
from ..basics.recorded import is_recorded, plain
from ..basics.tokens import padded, tokens

PIXEL_MEAN = (123.675, 116.28, 103.53)  # of 0..255 RGB, from segment_anything/build_sam.py
PIXEL_STD = (58.395, 57.12, 57.375)
# By device; on a CPU the fastest of those tried, on CUDA not measured. Other devices are taken as a CPU.
MEMORY = {"cpu": 0.1, "cuda": 2.0}  # GB of intermediate results of the slices encoded at once


class SlicewiseEncoder(nn.Module):
    """(B, M, H, W, D) in [0, 1] -> (B, M * out_channels, ceil(H / 16), ceil(W / 16), D), each slice of each modality by itself.

    What all of them do alike: cut volumes into slices and pad these with zeros to whole patches, run as many at once as the
    memory allows for, stay frozen but for what is `trained`, and know the digest of their weights. A subclass says how slices
    are encoded (`encoding`), how many channels that gives (`out_channels`) and how much it takes (`token_bytes`).

    Args:
        image_encoder: holds the parameters, under their official names.
        memory, trainable, pixel_mean, pixel_std: as in `SAMSliceEncoder`.

    Raises:
        ValueError: for a memory or a deviation that is not positive.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        memory: float | None,
        trainable: bool,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
    ) -> None:
        super().__init__()
        if memory is not None and memory <= 0:
            raise ValueError(f"memory must be positive, in GB, got {memory}")
        if len(pixel_mean) != 3 or len(pixel_std) != 3 or min(pixel_std) <= 0:
            raise ValueError(
                f"pixel_mean and pixel_std must be three numbers each, for red, green and blue, deviations above 0; got "
                f"{list(pixel_mean)} and {list(pixel_std)}"
            )
        self.image_encoder: Any = image_encoder
        self.memory = memory
        self.pixel_mean, self.pixel_std = tuple(map(float, pixel_mean)), tuple(map(float, pixel_std))
        self.requires_grad_(trainable)
        self._sha256: torch.Tensor | None = None  # of what is frozen
        self.register_load_state_dict_pre_hook(_forget_digest)
        self.note_trained()

    def note_trained(self) -> None:
        """To be called whenever other parameters require gradients than before."""
        self.trained = frozenset(name for name, parameter in self.named_parameters() if parameter.requires_grad)
        self.train(self.training)

    @property
    @abstractmethod
    def out_channels(self) -> int:
        """Channels of the embedding of one modality."""

    @property
    def levels(self) -> Sequence[Level]:
        """Finer than its tokens, folded behind one modality's embedding."""
        return ()

    @property
    @abstractmethod
    def token_bytes(self) -> int:
        """Memory of the intermediate results at their widest point, for each 16 x 16 pixels of a slice."""

    @abstractmethod
    def encoding(self, height: int, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """For a grid of h x w tokens, with what all its slices share computed once: (N, 1, 16 h, 16 w) -> (N, C, h, w)."""

    def choices(self) -> Iterable[str]:
        """What else changes the embeddings of these weights, in words; nothing where all is as by default."""
        return ()

    def train(self, mode: bool = True) -> "SlicewiseEncoder":
        return super().train(mode and bool(self.trained))

    @property
    def mixes_slices(self) -> bool:
        return False

    def pretrained(self) -> dict[str, torch.Tensor]:
        """The tensors of its published file, under their official names."""
        return self.image_encoder.state_dict(prefix="image_encoder.")

    def merged(self) -> dict[str, torch.Tensor]:
        """`pretrained`, with all that was trained in it."""
        return self.pretrained()

    def sha256(self, without: Collection[str] = ()) -> torch.Tensor:
        """Digest of names and fp32 bytes of `pretrained`, of `choices` and of pixels other than SAM's, if any: 32 bytes as a
        uint8 tensor.

        The same on every device.

        Args:
            without: names of tensors that are left out.
        """
        of_frozen = self.trained == frozenset(without)
        if of_frozen and self._sha256 is not None:
            return self._sha256
        digest = hashlib.sha256()
        for name, tensor in sorted(self.pretrained().items()):
            if name not in without:
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        for choice in self.choices():
            digest.update(choice.encode())
        if (self.pixel_mean, self.pixel_std) != (PIXEL_MEAN, PIXEL_STD):
            digest.update(f"pixels {self.pixel_mean} {self.pixel_std}".encode())
        sha256 = torch.tensor(list(digest.digest()), dtype=torch.uint8)
        if of_frozen:  # it cannot change, but by loading
            self._sha256 = sha256
        return sha256

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        batch, modalities, height, width = (int(size) for size in volume.shape[:4])  # plain numbers also while tracing
        slices = plain(volume).permute(0, 1, 4, 2, 3).reshape(-1, 1, height, width)  # (B*M*D, 1, H, W)
        slices = F.pad(slices, (0, padded(width) - width, 0, padded(height) - height))  # raw intensity 0
        grid = (tokens(height), tokens(width))
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.trained)):
            parts = [slices] if is_recorded() else slices.split(self._slices_at_once(*grid, slices.device.type))
            embeddings = self.encode_parts(parts, grid, volume.shape[4])
        embeddings = embeddings.unflatten(0, (batch, modalities, -1))  # (B, M, D, C, h, w)
        return embeddings.permute(0, 1, 3, 4, 5, 2).flatten(1, 2)  # (B, M*C, h, w, D)

    def encode_parts(self, parts: Sequence[torch.Tensor], grid: tuple[int, int], depth: int) -> torch.Tensor:
        """Parts (n, 1, 16 h, 16 w) of all N slices -> (N, C, h, w).

        Args:
            parts: of consecutive slices.
            grid: h x w tokens.
            depth: slices of a volume, for an encoder that mixes them.
        """
        encode = self.encoding(*grid)
        return torch.cat([encode(part) for part in parts])

    def grey_patch_embedding(self, projection: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
        """Kernel (C, 1, p, p) and bias (C) that do at once: repeat to 3 channels, x 255, - mean, / std, embed patches."""
        mean = projection.weight.new_tensor(self.pixel_mean).view(3, 1, 1)
        std = projection.weight.new_tensor(self.pixel_std).view(3, 1, 1)
        kernel = (projection.weight * (255 / std)).sum(1, keepdim=True)
        return kernel, cast(torch.Tensor, projection.bias) - (projection.weight * (mean / std)).sum((1, 2, 3))

    def _slices_at_once(self, height: int, width: int, device: str) -> int:
        """How many slices of h x w tokens the memory allows for."""
        memory = MEMORY.get(device, MEMORY["cpu"]) if self.memory is None else self.memory
        return max(1, int(memory * 1e9 / (height * width * self.token_bytes)))


def dimensions_of(variant: str | Mapping[str, Any], variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of a published variant by its name, or those that are given. Raises ValueError for another name."""
    if not isinstance(variant, str):
        return dict(variant)
    if variant not in variants:
        names = f"{'one of ' * (len(variants) > 1)}{', '.join(variants)}"
        raise ValueError(f"variant must be {names} or a mapping of dimensions, got {variant!r}")
    return dict(variants[variant])


def _forget_digest(encoder: SlicewiseEncoder, *_: Any) -> None:
    encoder._sha256 = None
