"""Windows of a volume, one after the other along the depth -> their embeddings, each slice encoded once."""

from collections.abc import Callable

import torch


class RollingEmbeddings:
    """Keeps the embeddings of the present window: the next one overlaps it, and what lies behind is not needed again."""

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.encode = encode
        self.slices: dict[tuple[int, int], torch.Tensor] = {}

    def __call__(self, window: torch.Tensor, coordinates: list[slice]) -> torch.Tensor:
        """(1, M, H, W, d) and where it lies (batch, channel, H, W, D), as MONAI's sliding window says -> (1, C, h, w, d)."""
        image, start = coordinates[0].start, coordinates[-1].start
        wanted = [(image, start + i) for i in range(window.shape[-1])]
        new = [i for i, key in enumerate(wanted) if key not in self.slices]
        encoded = self.encode(window[..., new]).unbind(-1) if new else ()
        known = self.slices | {wanted[i]: embedding for i, embedding in zip(new, encoded, strict=True)}
        self.slices = {key: known[key] for key in wanted}
        return torch.stack(list(self.slices.values()), -1)
