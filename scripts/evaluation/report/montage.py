"""A case -> one picture of three planes around its structures, with the mask as colour and the reference as line."""

import io
from collections.abc import Sequence

import numpy as np

from ...basics.figures import Colour, fill, new_figure
from ..ras_volume import upright
from .shown_case import LABELS, ShownCase, around
from .sprites import data_uri

OPACITY = 0.4
WIDTH, RESOLUTION = 6.0, 100  # inches, and pixels in one of them
TALLEST = 1.4  # of a plane, over the mean of their widths: long volumes are drawn smaller


def montage_of(case: ShownCase, start: Sequence[int], colours: Sequence[Colour]) -> str:
    """Axial, coronal and sagittal slices through voxel `start`, in one scale, as a data URI. colours: of label 1, 2, ..."""
    layers = {layer.name: layer.voxels for layer in case.layers if layer.kind == LABELS}
    place = around(np.logical_or.reduce([layer > 0 for layer in layers.values()]))
    start = [at - part.start for at, part in zip(start, place, strict=True)]
    image = (np.zeros_like(layers["mask"]) if case.image is None else case.image)[place]
    layers = {name: layer[place] for name, layer in layers.items()}
    right, front, up = np.array(image.shape) * case.spacing  # mm
    planes = [((right, front), 2), ((right, up), 1), ((front, up), 0)]
    widths, heights = [width for (width, _), _ in planes], [height for (_, height), _ in planes]
    scale = min(WIDTH / sum(widths), TALLEST * WIDTH / 3 / max(heights))
    figure = new_figure(scale * sum(widths), scale * max(heights))
    figure.set_layout_engine("none")
    figure.set_facecolor("black")
    left = 0.0
    for (width, height), axis in planes:
        axes = figure.add_axes(
            (left / sum(widths), 0.5 - height / max(heights) / 2, width / sum(widths), height / max(heights))
        )
        axes.set_axis_off()
        left += width

        def plane(volume: np.ndarray, axis: int = axis) -> np.ndarray:
            return upright(volume.take(start[axis], axis))

        axes.imshow(plane(image), cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="bilinear")
        for number, colour in enumerate(colours, 1):
            fill(axes, plane(layers["mask"]) == number, colour, OPACITY, aspect="auto")
            if "reference" in layers and 0 < (expected := plane(layers["reference"]) == number).sum() < expected.size:
                axes.contour(expected, levels=[0.5], colors=[colour], linewidths=1.1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=RESOLUTION, pil_kwargs={"quality": 88})
    return data_uri(buffer.getvalue(), "jpeg")
