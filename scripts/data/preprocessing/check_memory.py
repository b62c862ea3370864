"""An image that is going to be resampled -> the same image, or an error if what becomes of it would not fit into memory."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Transform

from ...basics.free_memory import free_memory
from ...basics.geometry import spacing_of
from ..cases.case_error import CaseError
from ..cases.read_case import read_from

GRID, CHANNEL = 64, 8  # bytes per resampled voxel: MONAI's coordinates and its steps between; each channel, old and new


class CheckMemoryd(Transform):
    """`image` (M, H, W, D) may be resampled to `spacing` if there is room for the result.

    To be used right before; changes nothing. A file says only how large it is as stored: a volume of 8 mm becomes 512 times
    as large at 1 mm.

    Args:
        spacing: mm along H, W and D; one that is not above 0 is kept.

    Raises:
        CaseError: which names the image's file, what is needed and what is free.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import CheckMemoryd
        >>> case = {"image": MetaTensor(torch.rand(1, 8, 8, 4), affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])))}
        >>> CheckMemoryd([1.0, 1.0, -1.0])(case) is case
        True
        >>> CheckMemoryd([1e-4, 1e-4, 1e-4])(case)
        Traceback (most recent call last):
            ...
        scripts.data.cases.case_error.CaseError: ...a volume must fit into memory...160000 x 160000 x 80000 voxels...
    """

    def __init__(self, spacing: Sequence[float]) -> None:
        self.spacing = tuple(spacing)

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        image = data["image"]
        edges = spacing_of(image.affine).tolist()
        sizes = zip(image.shape[1:], edges, self.spacing, strict=True)
        shape = [max(round(size * edge / wanted), 1) if wanted > 0 else size for size, edge, wanted in sizes]
        needed, free = (GRID + CHANNEL * len(image)) * math.prod(shape), free_memory()
        if tuple(shape) != tuple(image.shape[1:]) and needed > free:
            words = [" x ".join(f"{number:g}" for number in numbers) for numbers in (edges, self.spacing, shape)]
            found = f"its {words[0]} mm resampled to {words[1]} mm are {words[2]} voxels, which need {needed / 1e9:.3g} GB"
            remedy = "correct its spacing, crop it, or change the preset's spacing"
            raise CaseError(read_from(image), "a volume must fit into memory", f"{found}; {free / 1e9:.3g} GB are free", remedy)
        return data
