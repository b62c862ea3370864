"""A case whose embeddings are cached -> those of one view, in a random crop along the depth."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Randomizable, Transform

from ..preprocessing.class_chances import CropClasses, class_chances
from .embedding_cache import EmbeddingCache, name_of


class DrawEmbeddingsd(Randomizable, Transform):
    """{image, label: files} -> {image: embeddings (C, h, w, roi_depth), label (1, H, W, roi_depth)}.

    For a network with detail {embedding (C, h, w, roi_depth), image (M, H, W, roi_depth), label}, MetaTensors whose affine is
    that of the crop's voxels: what transforms do to image and label `JoinPixelsd` does to the embedding.

    The crop is centred, as far as the volume allows, on a slice drawn as MONAI's `RandCropByPosNegLabeld` does: that of a
    random labelled voxel `pos` times for `neg` times of a background voxel; or by class first, as `RandCropLabelledd` does.
    Only the slices of the crop are read; whatever moves slices along the depth commutes with the encoder, so crops and flips
    along it are drawn here.

    Args:
        cache: filled.
        roi_depth: slices in a crop.
        pos: how often a labelled voxel is drawn, relative to `neg`.
        neg: how often a background voxel is drawn, relative to `pos`.
        flip_prob: of reversing the slices.
        crop_classes: `balanced`, or ratios of the classes, see `class_chances`; None: all labelled voxels alike.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import DrawEmbeddingsd, EmbeddingCache, EmbeddingStore, ReadCased, read_datalist
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = SAM3D(SAMSliceEncoder(vit), ResidualDecoder(256, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 1, "validation": 1}, shape=(32, 48, 8))
        ...     cases = read_datalist(folder)["training"].cases
        ...     cache = EmbeddingCache(cases, [ReadCased(1, LABELS)], [[]], network, "cpu", EmbeddingStore("memory"))
        ...     cache.fill()
        >>> crop = DrawEmbeddingsd(cache, roi_depth=4, pos=2, neg=1)(cases[0])
        >>> tuple(crop["image"].shape), tuple(crop["label"].shape)
        ((256, 2, 3, 4), (1, 32, 48, 4))
    """

    def __init__(
        self,
        cache: EmbeddingCache,
        roi_depth: int,
        pos: float,
        neg: float,
        flip_prob: float = 0.0,
        crop_classes: CropClasses | None = None,
    ) -> None:
        self.keys = cache.keys
        self.store = cache.store
        self.with_pixels = cache.with_pixels
        self.roi_depth = roi_depth
        self.pos_fraction = pos / (pos + neg)
        self.flip_prob = flip_prob
        self.crop_classes = crop_classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        name = name_of(data)
        views = self.keys[name]
        key = views[self.R.randint(len(views))]
        start = self._draw_start(self.store.read(key, "counts"))
        crop = (start, start + self.roi_depth)
        flipped = self.R.random() < self.flip_prob

        def drawn(name: str) -> torch.Tensor:
            tensor = self.store.read(key, name, *crop).float().movedim(0, -1)
            return (tensor.flip(-1) if flipped else tensor).contiguous()

        about = {"filename_or_obj": str(data["image"])}
        embedding, label = MetaTensor(drawn("embedding"), meta=about), drawn("label")[None]
        if not self.with_pixels:
            return {"image": embedding, "label": label}
        return {"embedding": embedding, "image": MetaTensor(drawn("image"), meta=about), "label": MetaTensor(label)}

    def _draw_start(self, counts: torch.Tensor) -> int:
        """counts: (D, K), voxels of each class in every slice, the background first."""
        if len(counts) < self.roi_depth:
            raise ValueError(f"cached views must keep at least roi_depth ({self.roi_depth}) slices, one has {len(counts)}")
        weights = self._weights(counts)
        if not weights.any():  # in this view all is to be ignored
            weights = torch.ones_like(weights)
        centre = self.R.choice(len(weights), p=(weights.double() / weights.sum()).numpy())
        return int(min(max(centre - self.roi_depth // 2, 0), len(weights) - self.roi_depth))

    def _weights(self, counts: torch.Tensor) -> torch.Tensor:
        """(D,), of each slice how many voxels the centre is drawn from."""
        if self.crop_classes is None:
            kinds = counts[:, 0], counts[:, 1:].sum(1)
            kind = int(self.R.random() < self.pos_fraction)
            return kinds[kind] if kinds[kind].any() else kinds[1 - kind]
        chances = class_chances(counts.sum(0).numpy(), self.crop_classes, self.pos_fraction, 1 - self.pos_fraction)
        return counts[:, 0] if chances is None else counts[:, self.R.choice(len(chances), p=chances)]
