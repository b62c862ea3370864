"""An augmented crop and its embedding -> the one tensor that a network with detail decodes."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample, Transform

from ...basics.contracts import Level
from ...basics.tokens import PATCH, fold, pixels_to_tokens, tokens_to_pixels


class JoinPixelsd(Transform):
    """{embedding (C, h, w, D), image (M, H, W, D), label} -> {image (C + 256 M, h, w, D), label}: see `SAM3D.encode`.

    Whatever moved the image's voxels, as its affine tells, is repeated on the embedding by bilinear interpolation between
    tokens, and of finer levels between their positions: an approximation, since the encoder did not see the moved image, which
    costs no run of the encoder.

    Args:
        levels: of the encoder, which are folded into its embedding.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import JoinPixelsd
        >>> crop = {"embedding": MetaTensor(torch.rand(8, 2, 3, 4)), "image": MetaTensor(torch.rand(1, 32, 48, 4))}
        >>> tuple(JoinPixelsd()({**crop, "label": torch.zeros(1, 32, 48, 4)})["image"].shape)
        (264, 2, 3, 4)
    """

    def __init__(self, levels: Sequence[Level] = ()) -> None:
        self.levels = tuple(levels)
        self.resample = SpatialResample(mode="bilinear", padding_mode="zeros")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, embedding = data["image"], data["embedding"]
        moved = torch.as_tensor(image.affine, dtype=torch.float64)
        if len(embedding) and not torch.equal(moved, torch.eye(4, dtype=torch.float64)):  # without an encoder it is empty
            embedding = self._follow(embedding.as_tensor(), moved, len(image))
        pixels = pixels_to_tokens(image.as_tensor()[None])[0]
        joined = torch.cat([torch.as_tensor(embedding).as_subclass(torch.Tensor).float(), pixels])
        about = {"filename_or_obj": image.meta.get("filename_or_obj")}
        return {"image": MetaTensor(joined, meta=about), "label": torch.as_tensor(data["label"]).as_subclass(torch.Tensor)}

    def _follow(self, embedding: torch.Tensor, moved: torch.Tensor, modalities: int) -> torch.Tensor:
        folded = [level.folded for level in self.levels]
        each = embedding.unflatten(0, (modalities, -1))  # (M, C, h, w, D)
        tokens, *levels = each.split([each.shape[1] - sum(folded), *folded], 1)
        parts = [self._resampled(tokens, moved, PATCH)]
        for part, level in zip(levels, self.levels, strict=True):
            side = PATCH // level.stride
            features = tokens_to_pixels(part.movedim(-1, 2), side).movedim(2, -1)  # (M, C', side h, side w, D)
            parts.append(fold(self._resampled(features, moved, level.stride), side))
        return torch.cat(parts, 1).flatten(0, 1)

    def _resampled(self, features: torch.Tensor, moved: torch.Tensor, stride: int) -> torch.Tensor:
        """(M, C, h, w, D), each position of stride x stride pixels, likewise moved."""
        # Position -> voxel of the crop: its centre lies between the two pixels in the middle.
        affine = torch.diag(torch.tensor([stride, stride, 1, 1], dtype=torch.float64))
        affine[:2, 3] = (stride - 1) / 2
        tokens = MetaTensor(features.flatten(0, 1), affine=affine)
        found = self.resample(tokens, dst_affine=moved @ affine, spatial_size=features.shape[2:])
        return torch.as_tensor(found).as_subclass(torch.Tensor).unflatten(0, features.shape[:2])
