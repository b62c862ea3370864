"""Volumes of a case -> sprites: all slices side by side in one picture each, as data URIs that a page's script draws."""

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

from .shown_case import LABELS, ShownCase

JPEG_QUALITY = 85


def sprites_of(case: ShownCase) -> dict[str, Any]:
    """What page.js reads: shape, spacing, columns of slices in a sprite, and the sprites.

    A sprite holds slices along S, in rows of `columns`; a slice has x along R and y along A. The numbers of labels are `step`
    apart, since browsers that protect against fingerprinting change pixels a little when a script reads them.
    """
    slices = case.layers[0].voxels.shape[2]
    columns = math.ceil(math.sqrt(slices))
    layers = []
    for layer in case.layers:
        step = 255 // max(int(layer.voxels.max()), 1) if layer.kind == LABELS else 1
        sprite = _sprite(layer.voxels * np.uint8(step), columns)
        layers.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "highest": layer.highest,
                "step": step,
                "sprite": _png(sprite) if layer.kind == LABELS else _jpeg(sprite),
            }
        )
    return {
        "shape": list(case.layers[0].voxels.shape),
        "spacing": case.spacing.tolist(),
        "factors": list(case.factors),
        "fileShape": list(case.shape),
        "toScale": case.to_scale,
        "columns": columns,
        "image": None if case.image is None else _jpeg(_sprite(case.image, columns)),
        "layers": layers,
        "start": _most_labelled(case),
    }


def size_of(sprites: dict[str, Any]) -> int:
    """Bytes on the page."""
    return sum(map(len, filter(None, [sprites["image"], *(layer["sprite"] for layer in sprites["layers"])])))


def _most_labelled(case: ShownCase) -> list[int]:
    """The slices with most of the reference, or of the mask where that is empty; in the middle where both are."""
    labelled = [layer.voxels > 0 for layer in reversed(case.layers) if layer.kind == LABELS and layer.voxels.any()]
    if not labelled:
        return [size // 2 for size in case.layers[0].voxels.shape]
    return [int(labelled[0].sum(tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3)]


def _sprite(volume: np.ndarray, columns: int) -> np.ndarray:
    """(R, A, S) -> (rows * A, columns * R)"""
    width, height, depth = volume.shape
    rows = math.ceil(depth / columns)
    slices = np.zeros((rows * columns, height, width), np.uint8)
    slices[:depth] = volume.transpose(2, 1, 0)
    return slices.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def _png(sprite: np.ndarray) -> str:
    return _encoded(sprite, "PNG", optimize=True)


def _jpeg(sprite: np.ndarray) -> str:
    return _encoded(sprite, "JPEG", quality=JPEG_QUALITY, optimize=True)


def _encoded(sprite: np.ndarray, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(sprite).save(buffer, form, **options)
    return data_uri(buffer.getvalue(), form.lower())


def data_uri(content: bytes, form: str) -> str:
    """form: `png` or `jpeg`."""
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"
