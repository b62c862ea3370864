"""A transform of intensities for all channels, or one for each of them -> the transform of an image."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Transform


class PerChanneld(Transform):
    """`image` (M, H, W, D) -> the same, each channel by a transform of its own: of PET and CT, or of MRI and a map in units.

    Args:
        transforms: M of MONAI's dictionary transforms, in the order of the channels; each gets an `image` of one channel.

    Raises:
        ValueError: for an image of another number of channels.

    Example:
        >>> import torch
        >>> from monai.transforms import ScaleIntensityd, ScaleIntensityRanged
        >>> from scripts.data import PerChanneld
        >>> window = ScaleIntensityRanged("image", a_min=-100, a_max=300, b_min=0, b_max=1, clip=True)
        >>> image = torch.tensor([[[[-500.0, 0, 300]]], [[[2.0, 3, 4]]]])
        >>> PerChanneld([window, ScaleIntensityd("image")])({"image": image})["image"].tolist()
        [[[[0.0, 0.25, 1.0]]], [[[0.0, 0.5, 1.0]]]]
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = data["image"]
        if len(image) != len(self.transforms):
            raise ValueError(f"there must be a transform for each channel, got {len(self.transforms)} for {len(image)}")
        scaled = image.clone()
        for number, transform in enumerate(self.transforms):
            scaled[number] = transform({"image": image[number : number + 1].clone()})["image"][0]
        return {**data, "image": scaled}


def per_channel(intensity: Transform | Sequence[Transform]) -> Transform:
    """A preset's `intensity`, one transform or a list with one for each channel, as a transform.

    Args:
        intensity: a transform serves all channels as it is.

    Returns:
        That transform, or a `PerChanneld` of the list.

    Example:
        >>> from monai.transforms import ScaleIntensityd
        >>> from scripts.data import per_channel
        >>> [type(per_channel(intensity)).__name__ for intensity in (ScaleIntensityd("image"), [ScaleIntensityd("image")])]
        ['ScaleIntensityd', 'PerChanneld']
    """
    return PerChanneld(intensity) if isinstance(intensity, Sequence) else intensity
