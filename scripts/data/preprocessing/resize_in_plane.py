"""Slices of any size -> slices that fit a given size, aspect kept, number of slices kept."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Resize
from monai.transforms.spatial.functional import resize
from monai.utils import ensure_tuple_rep


class ResizeInPlane(Resize):
    """(C, H, W, D) -> (C, H', W', D): the plane is scaled by one factor to the largest size within `spatial_size`.

    Its inverse uses `nearest-exact` where MONAI's inversion asks for `nearest`: torch's `nearest` takes the pixel below
    instead of the closest one, which would move a mask by up to half a pixel. Where the closest one is a tie, which happens at
    a ratio of exactly 3 : 2, a mask still moves by a quarter of a pixel.

    Args:
        spatial_size: H' and W' at most, pixels.
        mode: of interpolation, as in MONAI's `Resize`.

    Example:
        >>> import torch
        >>> from scripts.data import ResizeInPlane
        >>> tuple(ResizeInPlane((64, 96))(torch.rand(1, 40, 48, 20)).shape)
        (1, 64, 77, 20)
    """

    def __init__(self, spatial_size: Sequence[int], mode: str = "trilinear") -> None:
        super().__init__(spatial_size=(*spatial_size, -1), mode=mode)
        self.plane = tuple(spatial_size)

    def __call__(self, img: torch.Tensor, mode: str | None = None) -> torch.Tensor:
        height, width, depth = img.shape[1:]
        factor = min(self.plane[0] / height, self.plane[1] / width)
        size = (max(round(height * factor), 1), max(round(width * factor), 1), depth)
        # Not through `self.spatial_size`: threads that read cases share this object.
        resized = resize(img, size, mode or self.mode, None, torch.float32, 3, False, None, False, self.get_transform_info())
        return resized  # pyright: ignore[reportReturnType] - a tensor for a tensor, which MONAI does not say

    def inverse_transform(self, data: torch.Tensor, transform: dict[str, Any]) -> torch.Tensor:
        if transform["extra_info"]["mode"] == "nearest":
            transform["extra_info"]["mode"] = "nearest-exact"
        return super().inverse_transform(data, transform)


class ResizeInPlaned(MapTransform, InvertibleTransform):
    """Dictionary form of `ResizeInPlane`.

    Args:
        keys: of the volumes.
        spatial_size: H' and W' at most, pixels.
        mode: of interpolation; may be given for each key.
        allow_missing_keys: leave out keys that a case does not have.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import ResizeInPlaned
        >>> resize = ResizeInPlaned("image", spatial_size=(64, 96))
        >>> resized = resize({"image": MetaTensor(torch.rand(1, 40, 48, 20))})
        >>> tuple(resized["image"].shape), tuple(resize.inverse(resized)["image"].shape)
        ((1, 64, 77, 20), (1, 40, 48, 20))
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        mode: str | Sequence[str] = "trilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.resize = ResizeInPlane(spatial_size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        data = dict(data)
        for key, mode in self.key_iterator(data, self.mode):
            data[key] = self.resize(data[key], mode=mode)
        return data

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        data = dict(data)
        for key in self.key_iterator(data):
            data[key] = self.resize.inverse(data[key])
        return data
