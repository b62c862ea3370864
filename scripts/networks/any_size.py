"""A network that takes multiples of some size, of volumes or of slices -> one for volumes of any size."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .traced_size import require_traced_size


class AnySize(nn.Module):
    """(B, M, H, W, D) -> logits (B, K, H, W, D), by padding with zeros at the end of each axis and cropping back.

    Of MONAI's UNet++, which answers with a list, the last is taken, its finest.

    Args:
        network: answers at the size of its input.
        multiple: of H, W and D that the network takes. Of H and W alone: a 2-D network, (N, M, H, W) -> (N, K, H, W), which
            gets the slices as a batch.
        minimum: of the padded sizes, where a single multiple is too small, as for instance normalisation of a single position.
        maximum: of the padded sizes, where the network has an end, as learned positions have.
        slices: how many of them at once in evaluation; in training all, as batch normalisation wants it.

    Raises:
        ValueError: for a volume that is too large, and for a network whose logits have another size than its input.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> from scripts.networks import AnySize
        >>> unet = UNet(spatial_dims=3, in_channels=1, out_channels=4, channels=(4, 8, 16), strides=(2, 2))
        >>> network = AnySize(unet, multiple=(4, 4, 4), minimum=(8, 8, 8))
        >>> tuple(network(torch.rand(1, 1, 30, 21, 5)).shape)
        (1, 4, 30, 21, 5)
    """

    def __init__(
        self,
        network: nn.Module,
        multiple: Sequence[int],
        minimum: Sequence[int] | None = None,
        maximum: Sequence[int] | None = None,
        slices: int = 16,
    ) -> None:
        super().__init__()
        if len(multiple) not in (2, 3) or min(multiple) < 1:
            raise ValueError(f"multiple must be two or three positive numbers, for H, W and perhaps D, got {list(multiple)}")
        minimum = multiple if minimum is None else minimum
        if len(minimum) != len(multiple) or any(size % m for size, m in zip(minimum, multiple, strict=False)):
            raise ValueError(f"minimum must be whole multiples of {list(multiple)}, got {list(minimum)}")
        self.network = network
        self.multiple = tuple(multiple)
        self.minimum = tuple(minimum)
        self.maximum = None if maximum is None else tuple(maximum)
        self.slices = slices

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        volume = require_traced_size(volume).as_subclass(torch.Tensor)
        height, width, depth = (int(size) for size in volume.shape[2:])
        if len(self.multiple) == 3:
            return self._padded(volume)[:, :, :height, :width, :depth]
        slices = volume.movedim(-1, 1).flatten(0, 1)  # (B*D, M, H, W)
        parts = slices.split(len(slices) if self.training else self.slices)
        logits = torch.cat([self._padded(part) for part in parts])[:, :, :height, :width]
        return logits.unflatten(0, (-1, depth)).movedim(1, -1)

    def _padded(self, features: torch.Tensor) -> torch.Tensor:
        padding = []
        for size, multiple, minimum in reversed(list(zip(features.shape[2:], self.multiple, self.minimum, strict=True))):
            padding += [0, max(minimum - int(size), -int(size) % multiple)]
        padded = F.pad(features, padding)
        sizes = [int(size) for size in padded.shape[2:]]
        if self.maximum is not None and any(size > most for size, most in zip(sizes, self.maximum, strict=True)):
            raise ValueError(
                f"this network takes at most {_product(self.maximum)} voxels, got {_product(sizes)}; leave the inferer's "
                "mode at 'windows', or train it for a larger spatial_size and roi_depth"
            )
        logits = self.network(padded)
        logits = logits[-1] if isinstance(logits, list | tuple) else logits
        answered = [int(size) for size in logits.shape[2:]]
        if answered != sizes:
            raise ValueError(
                f"{type(self.network).__name__} gave logits of {_product(answered)} for {_product(sizes)} voxels; a network "
                "must answer at the size of its input, in one tensor"
            )
        return logits


def _product(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
