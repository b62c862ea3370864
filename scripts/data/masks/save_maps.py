"""Logits -> maps of probability and of uncertainty, files that lie on the image as its mask does."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Transform

from ...basics.map_files import ENTROPY, MUTUAL_INFORMATION, PROBABILITY, map_file
from ...basics.probabilities import entropy, log_probabilities
from . import probability_maps
from .logits_to_classes import require_finite
from .probability_maps import on_own_grid, probabilities, slice_by_slice
from .save_mask import write_on_image

LEVELS = 255  # of uint8: NIfTI has no floating-point numbers of 16 bits, and those of 32 would take four times the space


class SaveMapsd(Transform):
    """Writes maps of `pred` (K, H, W, D), logits on the network's grid, to `output_dir`, named beside `name`.nii.gz.

    Each map has the shape and affine of the file that `image` was read from. It is resampled linearly, one after the other, and
    saved as uint8 with a slope of 1/255: what reads the file gets numbers from 0 to 1. Files appear whole, as `SaveMaskd`'s do.

    Args:
        output_dir: made if it is not there.
        names: of the maps, from `map_names`.
        transform: that `image` went through.
        regions: whether each channel is a region by itself.
        checkpoint: whose network the logits are of, as of `LogitsToClassesd`.

    Raises:
        CaseError: as `SaveMaskd` and `LogitsToClassesd` do.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from monai.transforms import Compose
        >>> from scripts.data import ReadCased, ResizeInPlaned, SaveMapsd, find_images
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     (case,) = find_images(Path(folder) / "images", folder).cases
        ...     preprocessing = Compose([ReadCased(1, LABELS), ResizeInPlaned("image", (32, 28))])
        ...     case = preprocessing(case)
        ...     _ = SaveMapsd(folder, ["entropy"], preprocessing)({**case, "pred": torch.rand(2, 32, 28, 8)})
        ...     sorted(path.name for path in Path(folder).glob("*.nii.gz"))
        ['phantom_000_entropy.nii.gz']
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Sequence[str],
        transform: probability_maps.Transform,
        regions: bool = False,
        checkpoint: str | Path | Sequence[str] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.names = names
        self.transform = transform
        self.regions = regions
        self.checkpoint = checkpoint

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if self.names:
            require_finite(data, self.checkpoint)
        for name, volume in zip(self.names, self._maps(data), strict=True):
            levels = on_own_grid(volume, data["image"], self.transform).mul_(LEVELS).round_().clamp_(0, LEVELS)
            file = map_file(data["name"], name)
            write_on_image(levels.to(torch.uint8), data["image"], self.output_dir, file, slope=1 / LEVELS)
        return dict(data)

    def _maps(self, data: Mapping[Hashable, Any]) -> Iterator[torch.Tensor]:
        """(1, H, W, D) for each name, one at a time."""
        logits = data["pred"]
        if any(name.startswith(PROBABILITY) for name in self.names):
            yield from probabilities(logits, self.regions)
        if ENTROPY in self.names:
            yield slice_by_slice(lambda part: entropy(log_probabilities(part, self.regions, 0), self.regions, 0), logits)
        if MUTUAL_INFORMATION in self.names:
            yield data[MUTUAL_INFORMATION].float()
