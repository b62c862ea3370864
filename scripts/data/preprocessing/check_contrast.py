"""An image whose intensities were scaled -> the same image, or an error if nothing is left to see."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from ..cases.case_error import CaseError
from ..cases.read_case import doubt, read_from
from ..formats.image_file import Note

MOST = 0.995  # of the voxels may have one value; the presets scale by percentiles 0.5 and 99.5
SAMPLE = 10**6  # voxels that stand for all of a large volume
TAIL = 0.005  # of the voxels, at either end of their values, of which no range is made
FLAT = 0.05  # of a scale from 0 to 1: less than 20 HU in a window of 400
ABOVE = 0.5  # of the voxels may have the largest value
SCALE = "the preset's intensity scaling should fit the image's intensities"
FILL = "voxels without a value should not set the scale of intensities"


class CheckContrastd(Transform):
    """`image` (M, H, W, D) must be finite and no channel nearly constant after the preset's intensity scaling.

    What looks wrong but may be right is noted as `doubt` of the image, whose voxels are not changed. A window in Hounsfield
    units makes MRI constant; where two percentiles are equal, MONAI leaves an image unscaled. A mask of that would look like
    any other.

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
        for channel in data["image"].as_tensor():
            if not torch.isfinite(channel).all():
                found = "some voxels became NaN or infinite"
            elif (share := _share_of_one_value(channel)) > MOST:
                found = f"{100 * share:.4g} % of the voxels have one value"
            else:
                _note_doubts(data["image"], channel)
                continue
            remedy = "choose the preset of this kind of image, crop it, or change the preset's intensity"
            raise CaseError(read_from(data["image"]), "the preset's intensity scaling must leave contrast", found, remedy)
        return data


def _share_of_one_value(channel: torch.Tensor) -> float:
    """How many of the voxels have the commonest value, if more than half do: then it is their median."""
    commonest = channel.flatten()[:: max(1, channel.numel() // SAMPLE)].median()
    return float((channel == commonest).float().mean())


def _note_doubts(image: MetaTensor, channel: torch.Tensor) -> None:
    sample = channel.flatten()[:: max(1, channel.numel() // SAMPLE)].sort().values
    darkest, brightest = sample[0], sample[-1]
    (low, high), at_top = _range(sample), float((sample == brightest).float().mean())
    if high - low < FLAT or at_top > ABOVE:
        found = f"all but 1 % of the voxels lie within {high - low:.2g} of a scale from 0 to 1"
        if at_top > ABOVE:
            found = f"{100 * at_top:.3g} % of the voxels have the largest value"
        doubt(image, Note(SCALE, f"{found}; is it another unit?", corrected=False))
        return
    others = sample[(sample > darkest) & (sample < brightest)]
    if len(others) <= TAIL * len(sample):
        return
    low, high = _range(others)
    # After a fixed window a fill value is one of its ends, as air is, and no other voxel has changed: nothing to doubt.
    for value, gap in ((darkest, low - float(darkest)), (brightest, float(brightest) - high)):
        share = float((sample == value).float().mean())
        if share > TAIL and gap > high - low:
            far = f"{gap:.2g} from the others, which span {high - low:.2g}"
            found = f"{100 * share:.3g} % of the voxels have one value, after scaling {far}; is it a fill value?"
            doubt(image, Note(FILL, found, corrected=False))


def _range(values: torch.Tensor) -> tuple[float, float]:
    """values: ascending."""
    last = len(values) - 1
    return float(values[round(TAIL * last)]), float(values[round((1 - TAIL) * last)])
