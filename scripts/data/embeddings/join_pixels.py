"""An augmented crop and its embedding -> the one tensor that a network with detail decodes."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample, Transform

from ...basics.tokens import PATCH, pixels_to_tokens

# Voxel of a token -> voxel of the crop: its centre lies between the two pixels in the middle of the patch.
TOKEN_AFFINE = torch.tensor(
    [[PATCH, 0, 0, (PATCH - 1) / 2], [0, PATCH, 0, (PATCH - 1) / 2], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64
)


class JoinPixelsd(Transform):
    """{embedding (C, h, w, D), image (M, H, W, D), label} -> {image (C + 256 M, h, w, D), label}: see `SAM3D.encode`.

    Whatever moved the image's voxels, as its affine tells, is repeated on the embedding by bilinear interpolation between
    tokens: an approximation, since the encoder did not see the moved image, which costs no run of the encoder.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.data import JoinPixelsd
        >>> crop = {"embedding": MetaTensor(torch.rand(8, 2, 3, 4)), "image": MetaTensor(torch.rand(1, 32, 48, 4))}
        >>> tuple(JoinPixelsd()({**crop, "label": torch.zeros(1, 32, 48, 4)})["image"].shape)
        (264, 2, 3, 4)
    """

    def __init__(self) -> None:
        self.resample = SpatialResample(mode="bilinear", padding_mode="zeros")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, embedding = data["image"], data["embedding"]
        moved = torch.as_tensor(image.affine, dtype=torch.float64)
        if len(embedding) and not torch.equal(moved, torch.eye(4, dtype=torch.float64)):  # without an encoder it is empty
            tokens = MetaTensor(embedding.as_tensor(), affine=TOKEN_AFFINE)
            embedding = self.resample(tokens, dst_affine=moved @ TOKEN_AFFINE, spatial_size=embedding.shape[1:])
        pixels = pixels_to_tokens(image.as_tensor()[None])[0]
        joined = torch.cat([torch.as_tensor(embedding).as_subclass(torch.Tensor).float(), pixels])
        about = {"filename_or_obj": image.meta.get("filename_or_obj")}
        return {"image": MetaTensor(joined, meta=about), "label": torch.as_tensor(data["label"]).as_subclass(torch.Tensor)}
