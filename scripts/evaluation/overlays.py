"""Images, masks and references -> one picture: a slice of each case, the mask filled, the reference outlined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.lines import Line2D

from ..basics.figures import colour_of, fill, new_figure, save_figure
from ..basics.geometry import spacing_of


def draw_overlays(cases: Sequence[Mapping[str, str]], labels: Mapping[int, str], path: Path) -> None:
    """Shows of every case the slice with most of the reference's voxels, or the mask's where the reference is empty.

    Slices are taken along the last axis in RAS order and shown as radiologists do: front up, the patient's right at the left.

    Args:
        cases: files `image`, `mask` and `reference`, and a `title`.
        labels: label value -> name, without the background.
        path: of the picture.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data.phantoms import write_phantoms
        >>> from scripts.evaluation import draw_overlays
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     image, label = (f"{folder}/{kind}/phantom_000.nii.gz" for kind in ("images", "labels"))
        ...     case = {"image": image, "mask": label, "reference": label, "title": "phantom_000"}
        ...     draw_overlays([case], {1: "liver", 2: "kidney", 3: "vessel"}, Path(folder) / "overlays.png")
        ...     (Path(folder) / "overlays.png").is_file()
        True
    """
    if not cases:
        return
    columns = min(len(cases), 6)
    rows = -(-len(cases) // columns)
    figure = new_figure(3 * columns, 3.3 * rows + 0.4)
    for axes, case in zip(figure.subplots(rows, columns, squeeze=False).flat, cases, strict=False):
        image, mask, reference = (_read(case[key]) for key in ("image", "mask", "reference"))
        shown = reference if reference.voxels.any() else mask
        fullest = int((shown.voxels > 0).sum((0, 1)).argmax())
        extent_ratio = image.spacing[1] / image.spacing[0]
        picture = image.voxels[:, :, fullest]
        low, high = np.percentile(picture, (1, 99))
        axes.imshow(_upright(picture), cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=extent_ratio)
        for value in labels:
            fill(axes, _upright(mask.voxels[:, :, fullest] == value), colour_of(value), 0.4, extent_ratio)
            outlined = _upright(reference.voxels[:, :, fullest] == value)
            if outlined.any() and not outlined.all():
                axes.contour(outlined, levels=[0.5], colors=[colour_of(value)], linewidths=1.2)
        axes.set_title(f"{case['title']}\nslice {fullest + 1} of {image.voxels.shape[2]}", fontsize=9)
    for axes in figure.axes:
        axes.axis("off")
    handles = [Line2D([], [], color=colour_of(v), lw=3, label=name) for v, name in labels.items()]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 8),
        fontsize=9,
        title="line: reference, filled: mask",
    )
    save_figure(figure, path)


@dataclass(frozen=True)
class Volume:
    voxels: np.ndarray  # (R, A, S)
    spacing: np.ndarray  # mm along each axis


def _read(file: str) -> Volume:
    """A file in RAS order; of several channels the first."""
    image = nib.as_closest_canonical(nib.load(file))
    voxels = np.asanyarray(image.dataobj)
    return Volume(voxels if voxels.ndim == 3 else voxels[..., 0], spacing_of(image.affine))


def _upright(plane: np.ndarray) -> np.ndarray:
    """(R, A) -> rows from front to back, columns from the patient's right to left."""
    return plane.T[::-1, ::-1]
