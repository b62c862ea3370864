"""An image whose intensities were scaled -> the same image, or an error if nothing is left to see."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from ..cases.case_error import CaseError
from ..cases.read_case import read_from

MOST = 0.995  # of the voxels may have one value; the presets scale by percentiles 0.5 and 99.5
SAMPLE = 10**6  # voxels among which the commonest value is looked for


class CheckContrastd(Transform):
    """`image` (M, H, W, D) must be finite and no channel nearly constant after the preset's intensity scaling. Changes nothing.

    A window in Hounsfield units makes MRI constant; where two percentiles are equal, MONAI leaves an image unscaled. A mask of
    that would look like any other.

    Raises:
        CaseError: which names the image's file.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import CheckContrastd
        >>> case = {"image": MetaTensor(torch.rand(1, 8, 8, 4))}
        >>> CheckContrastd()(case) is case
        True
        >>> CheckContrastd()({"image": MetaTensor(torch.zeros(1, 8, 8, 4))})
        Traceback (most recent call last):
            ...
        scripts.data.cases.case_error.CaseError: ...100 % of the voxels have one value...
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        image = data["image"].as_tensor()
        for channel in image:
            if not torch.isfinite(channel).all():
                found = "some voxels became NaN or infinite"
            elif (share := _share_of_one_value(channel)) > MOST:
                found = f"{100 * share:.4g} % of the voxels have one value"
            else:
                continue
            remedy = "choose the preset of this kind of image, crop it, or change the preset's intensity"
            raise CaseError(read_from(data["image"]), "the preset's intensity scaling must leave contrast", found, remedy)
        return data


def _share_of_one_value(channel: torch.Tensor) -> float:
    """How many of the voxels have the commonest value, if more than half do: then it is their median."""
    commonest = channel.flatten()[:: max(1, channel.numel() // SAMPLE)].median()
    return float((channel == commonest).float().mean())
