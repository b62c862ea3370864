"""Logits -> those of a few thousand voxels of the image's file, which stand for all of them."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Invertd, Transform

from ...basics.voxel_sample import VoxelSample

LEVELS = (0.001, 0.1)  # probabilities from which on a second class is possible, and likely
INDEX, DISAGREEMENT = "index", "disagreement"


class SampleVoxelsd(Transform):
    """Adds a `VoxelSample` of `pred` (K, H, W, D), the logits on the network's grid, as `voxels`.

    A uniform sample of a scan is air and, of a small structure, two voxels. So voxels are drawn by strata: what the likeliest
    class is, what the second is, and whether that one is impossible, possible or likely. About `count` of each are drawn, all
    of a smaller one. Each weighs as many voxels as it stands for, so weighted sums are without bias (stratified sampling, W. G.
    Cochran, Sampling Techniques, chapter 5), and those over a structure are as exact for a small one as for a large one.

    The voxels are those of the file: each has the logits of the voxel of the network's grid that its label in the mask comes
    from. Random numbers are seeded: the same logits give the same sample.

    Args:
        transform: by which `image` came onto the network's grid, which is inverted.
        regions: whether each channel is a region by itself; strata are then which regions a voxel is in, and the one in doubt.
        count: voxels of a stratum.
        seed: of the draw.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from monai.transforms import Compose, SpatialPadd
        >>> from scripts.data import SampleVoxelsd
        >>> pad = Compose([SpatialPadd("image", (16, 16, 8))])
        >>> case = pad({"image": MetaTensor(torch.rand(1, 12, 16, 8))})
        >>> logits = MetaTensor(5 * torch.randn(3, 16, 16, 8))
        >>> voxels = SampleVoxelsd(pad, count=50)({**case, "pred": logits})["voxels"]
        >>> round(voxels.weights.sum().item()), bool(voxels.places.max() < 12 * 16 * 8)
        (1536, True)
    """

    def __init__(self, transform: Callable[..., Any], regions: bool = False, count: int = 1000, seed: int = 0) -> None:
        self.back = Invertd(INDEX, transform, orig_keys="image", nearest_interp=True)  # pyright: ignore[reportArgumentType]
        self.regions = regions
        self.count = count
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        logits = torch.as_tensor(data["pred"]).as_subclass(torch.Tensor).detach().float()
        index = self._index(data, logits)  # (V,) of the file's voxels, into those of the network's grid
        strata = self._strata(logits).flatten()[index].cpu()
        sizes = torch.bincount(strata)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.rand(strata.shape, generator=generator) < (self.count / sizes.clamp(min=1))[strata]
        places = drawn.nonzero()[:, 0]
        of_drawn = strata[places]
        weights = (sizes / torch.bincount(of_drawn, minlength=len(sizes)))[of_drawn]
        chosen = index[places.to(index.device)]
        rows = logits.flatten(1)[:, chosen].T.cpu()
        apart = data.get(DISAGREEMENT)
        apart = None if apart is None else apart.as_subclass(torch.Tensor).flatten()[chosen].float().cpu()
        return {**data, "voxels": VoxelSample(places, rows, weights, apart)}

    def _index(self, data: Mapping[Hashable, Any], logits: torch.Tensor) -> torch.Tensor:
        """Plane and slice by themselves: MONAI inverts in single precision, which ends at 16.8 million whole numbers."""
        height, width, depth = logits.shape[1:]
        in_plane = torch.arange(height * width, device=logits.device).view(height, width, 1).expand(-1, -1, depth)
        of_slice = torch.arange(depth, device=logits.device).expand(height, width, -1)
        there = MetaTensor(torch.stack([in_plane, of_slice]).float(), meta=data["image"].meta)
        back = self.back({"image": data["image"], INDEX: there})[INDEX].as_subclass(torch.Tensor).round().long().flatten(1)
        return back[0] * depth + back[1]

    def _strata(self, logits: torch.Tensor) -> torch.Tensor:
        """(K, H, W, D) -> (H, W, D), the number of each voxel's stratum; such numbers are small, and not all occur."""
        count = len(logits)
        if self.regions:
            bits = 2 ** torch.arange(count, device=logits.device)
            likeliest = ((logits >= 0) * bits.view(-1, 1, 1, 1)).sum(0)
            doubt, second = (-logits.abs()).sigmoid().max(0)
        else:
            top, (likeliest, second) = logits.topk(2, dim=0)
            doubt = (top[1] - logits.logsumexp(0)).exp()
        level = torch.bucketize(doubt, torch.tensor(LEVELS, device=logits.device), right=True)
        return (likeliest * count + second.where(level > 0, torch.zeros_like(second))) * (len(LEVELS) + 1) + level
