"""Images, masks and references -> one picture: of each case a slice as it is, with the mask, and with the reference."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D

from ..basics.figures import OPACITY, colour_of, fill, new_figure, save_figure
from .ras_volume import OpenImage, read_ras, upright

ROWS = ("image", "mask\n(line: reference)", "reference")


def draw_overlays(
    cases: Sequence[Mapping[str, str]],
    labels: Mapping[int, str],
    path: Path,
    open_image: OpenImage,
    open_reference: OpenImage | None = None,
) -> None:
    """Draws a column for each case: the slice with most of the reference's voxels, or the mask's where the reference is empty.

    Slices are taken along the last axis in RAS order and shown as radiologists do: front up, the patient's right at the left.

    Args:
        cases: files `image`, `mask` and `reference`, and a `title`.
        labels: label value -> name, without the background.
        path: of the picture.
        open_image: opens those files.
        open_reference: opens references, with the values that masks have; None: as other images.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import open_image
        >>> from scripts.data.phantoms import write_phantoms
        >>> from scripts.evaluation import draw_overlays
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     image, label = (f"{folder}/{kind}/phantom_000.nii.gz" for kind in ("images", "labels"))
        ...     case = {"image": image, "mask": label, "reference": label, "title": "phantom_000"}
        ...     draw_overlays([case], {1: "liver", 2: "kidney", 3: "vessel"}, Path(folder) / "overlays.png", open_image)
        ...     (Path(folder) / "overlays.png").is_file()
        True
    """
    if not cases:
        return
    figure = new_figure(2 * len(cases) + 0.4, 2.3 * len(ROWS) + 0.8)
    panels = figure.subplots(len(ROWS), len(cases), squeeze=False)
    for column, case in zip(panels.T, cases, strict=True):
        image, mask = (read_ras(open_image(case[key])) for key in ("image", "mask"))
        reference = read_ras((open_reference or open_image)(case["reference"]))
        shown, otherwise = (np.isin(volume.voxels, list(labels)) for volume in (reference, mask))  # not what is to be ignored
        number = int((shown if shown.any() else otherwise).sum((0, 1)).argmax())
        aspect = image.spacing[1] / image.spacing[0]
        picture, found, expected = (upright(volume.voxels[:, :, number]) for volume in (image, mask, reference))
        low, high = np.percentile(picture, (1, 99))
        for axes in column:
            axes.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for value in labels:
            fill(column[1], found == value, colour_of(value), OPACITY, aspect)
            fill(column[2], expected == value, colour_of(value), OPACITY, aspect)
            if 0 < (expected == value).sum() < expected.size:
                column[1].contour(expected == value, levels=[0.5], colors=[colour_of(value)], linewidths=1.2)
        column[0].set_title(f"{case['title']}, slice {number + 1} of {image.voxels.shape[2]}", fontsize=9)
    for axes, name in zip(panels[:, 0], ROWS, strict=True):
        axes.set_ylabel(name, fontsize=10)
    handles = [Line2D([], [], color=colour_of(value), lw=6, label=name) for value, name in labels.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8), fontsize=9, frameon=False)
    save_figure(figure, path)
