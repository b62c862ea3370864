"""A case and its prediction -> a picture of the image regions from which a transformer's tokens were put together."""

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import nibabel as nib
import numpy as np
import torch
from matplotlib.patches import Patch
from monai.transforms import Transform
from torch import nn
from torch.nn import functional as F

from ....basics.figures import colour_of, fill, new_figure, save_figure
from ....basics.geometry import spacing_of
from ....basics.tokens import PATCH, padded


def attention_rollout(attentions: Iterable[torch.Tensor]) -> torch.Tensor:
    """(N, heads, T, T) of each layer, first to last -> (N, T, T): how much of each last token, a row, stems from which first.

    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", arXiv:2005.00928: the product of the layers' attention,
    each the mean of its heads and, for the residual connection, of the identity. Rows sum to 1.
    """
    rollout = None
    for attention in attentions:
        mixed = (attention.mean(1) + torch.eye(attention.shape[-1], device=attention.device)) / 2
        rollout = mixed if rollout is None else mixed @ rollout
    if rollout is None:
        raise ValueError("a rollout is the product of the attention of at least one layer, got none")
    return rollout


@runtime_checkable
class HasAttentionMaps(Protocol):
    def attention_maps(self, slices: torch.Tensor) -> Iterable[torch.Tensor]:
        """(N, M, h, w) -> of each layer, first to last, (N, heads, T, T) between tokens of 16 x 16 pixels, row by row."""
        ...


class SaveRolloutd(Transform):
    """Writes `output_dir`/`name`_rollout.png: a slice, its prediction, and what the prediction's tokens were put together from.

    For `image` (M, H, W, D) and `pred` (1, H, W, D) of class numbers as the network saw them, before they are inverted.
    Shown is the slice with most foreground, or the middle one where there is none. The map is the mean of the rollout's rows,
    weighted by the foreground in each token (all alike where there is none), in multiples of an even share.

    labels: of each class, the background's first.
    network: one that `HasAttentionMaps`.

    Raises ValueError for another network, and for a name that leads out of `output_dir`.
    """

    def __init__(self, output_dir: str | Path, labels: Mapping[str, str], network: nn.Module) -> None:
        if not isinstance(network, HasAttentionMaps):
            raise ValueError(
                f"attention rollout is drawn of TransUNet; {type(network).__name__} has no attention maps; omit rollout.yaml"
            )
        self.output_dir = Path(output_dir)
        self.labels = list(labels.values())
        self.network = network

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        path = (self.output_dir / f"{data['name']}_rollout.png").resolve()
        if not path.is_relative_to(self.output_dir.resolve()):
            raise ValueError(f"pictures stay inside {self.output_dir}, this one would be {path}: rename the case")
        image, classes = data["image"], data["pred"].as_tensor()[0]  # (H, W, D)
        shown = fullest_slice(classes > 0)
        device = next(self.network.parameters()).device
        plane, labelled = image.as_tensor()[..., shown].to(device), classes[..., shown].to(device)
        shares = self._shares(plane, labelled > 0)
        title = f"{data['name']}: slice {shown + 1} of {classes.shape[-1]}"
        self._draw(path, title, image.affine, *(array.float().cpu().numpy() for array in (plane[0], labelled, shares)))
        return dict(data)

    @torch.no_grad()
    def _shares(self, plane: torch.Tensor, foreground: torch.Tensor) -> torch.Tensor:
        """(M, H, W) and (H, W) -> (H, W): times an even share."""
        height, width = foreground.shape
        padding = (0, padded(width) - width, 0, padded(height) - height)
        rollout = attention_rollout(self.network.attention_maps(F.pad(plane, padding)[None]))[0]  # (T, T)
        weights = F.avg_pool2d(F.pad(foreground.float(), padding)[None], PATCH)[0]  # (h, w)
        if not foreground.any():
            weights = torch.ones_like(weights)
        shares = (weights.flatten() / weights.sum()) @ rollout * len(rollout)
        shares = F.interpolate(shares.view(1, 1, *weights.shape), scale_factor=PATCH, mode="bilinear")[0, 0]
        return shares[:height, :width]

    def _draw(
        self, path: Path, title: str, affine: torch.Tensor, plane: np.ndarray, labelled: np.ndarray, shares: np.ndarray
    ) -> None:
        spacing = spacing_of(affine)
        pictures = [upright(array, affine) for array in (plane, labelled, shares)]
        extent_ratio = spacing[1] / spacing[0]
        shown = [number for number in range(1, len(self.labels)) if (labelled == number).any()]
        figure = new_figure(11, 4.2)
        axes = figure.subplots(1, 3)
        for axis, name in zip(axes, ("image", "prediction", "attention rollout"), strict=True):
            axis.imshow(pictures[0], cmap="gray", aspect=extent_ratio)
            axis.set_title(name, fontsize=10)
            axis.axis("off")
        for number in shown:
            fill(axes[1], pictures[1] == number, colour_of(number), 0.5, extent_ratio)
        handles = [Patch(color=colour_of(number), label=self.labels[number]) for number in shown]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8), fontsize=9)
        rollout = axes[2].imshow(pictures[2], cmap="inferno", alpha=0.6, aspect=extent_ratio)
        figure.colorbar(rollout, ax=axes[2], label="times an even share", shrink=0.8)
        figure.suptitle(title, fontsize=10)
        save_figure(figure, path)


def fullest_slice(foreground: torch.Tensor) -> int:
    """(H, W, D) -> the slice with most foreground, the middle one if there is none."""
    voxels = foreground.sum((0, 1))
    return int(voxels.argmax()) if voxels.any() else len(voxels) // 2


def upright(plane: np.ndarray, affine: torch.Tensor) -> np.ndarray:
    """(H, W) -> rows along W downwards, columns along H: the patient's right at the left, front and head at the top."""
    axes = nib.aff2axcodes(np.asarray(affine))[:2]
    return np.flip(plane, tuple(i for i, letter in enumerate(axes) if letter in "RAS")).T
