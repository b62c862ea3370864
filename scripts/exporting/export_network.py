"""A trained network -> an exported file, checked against the network before it gets its name."""

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ..basics.regions import Regions
from ..files.atomic_write import atomic_write
from ..files.checkpoint_file import checkpoints_of
from ..files.file_digest import file_digest
from .exported_part import Function, part_of
from .formats import FORMATS, OPSET, Format
from .low_precision import PRECISIONS, lower_precision
from .parity import RELATIVE, TIES, Masks, compare_masks, logit_error
from .triton import write_triton

logger = logging.getLogger(__name__)

PACKAGES = {"pt2": ("torch",), "onnx": ("torch", "onnx", "onnxscript"), "aoti": ("torch",), "torchscript": ("torch",)}
PRESET = (
    "axcodes",
    "spacing",
    "intensity",
    "spatial_size",
    "roi_depth",
    "modalities",
    "temperature",
    "cleaning",
    "deterministic_transforms",
)
Phantom = Callable[[np.random.Generator, Sequence[int]], tuple[np.ndarray, np.ndarray]]


class Windows(Protocol):
    """The settings of an inferer that an exported network must be applied with."""

    @property
    def roi_depth(self) -> int: ...
    @property
    def mode(self) -> str: ...
    @property
    def overlap(self) -> float: ...


class VolumeInferer(Protocol):
    @property
    def on_embeddings(self) -> Windows: ...

    def __call__(self, inputs: torch.Tensor, network: nn.Module) -> torch.Tensor: ...


def export_network(
    network: nn.Module,
    path: str | Path,
    inferer: VolumeInferer,
    phantom: Phantom,
    checkpoint: str | Path | Sequence[str],
    labels: Mapping[str, str],
    settings: Mapping[str, Any],
    regions: Regions = MappingProxyType({}),
    region_values: Sequence[int] = (),
    format: str = "onnx",
    part: str = "network",
    precision: str = "float32",
    cases: Sequence[Mapping[str, Any]] = (),
    plane: Sequence[int] | None = None,
    triton: bool = False,
) -> Path:
    """Writes a network, or its encoder or decoder apart, for one plane and any depth, and checks the file before it is named.

    The file must give the network's logits within 1e-4 of the largest one at five depths, and the same masks of a phantom and
    of `cases`. Of a mask at most 1 in 100,000 voxels may differ, where two classes are equal up to rounding. With a lower
    precision neither can hold, and how far the masks are apart is printed. What was measured is stored in the file.

    Args:
        network: on a CPU; it is put in evaluation.
        path: of the file, or with `triton` of the model's folder.
        inferer: which applies the network to volumes.
        phantom: makes a volume of a size.
        checkpoint: of the network, or those of an ensemble; their sha256 are stored.
        labels: value in masks -> name; stored.
        settings: of the run, of which the preprocessing is stored.
        regions: the preset's; stored.
        region_values: the preset's; stored.
        format: pt2, onnx, aoti or torchscript.
        part: network, encoder or decoder.
        precision: float32, or of ONNX float16 or int8.
        cases: preprocessed, on which masks are compared too.
        plane: H x W of the slices, which are fixed; None: `spatial_size` of the settings, which the network was trained on.
        triton: whether `path` becomes a model of a Triton repository, with config.pbtxt and the file in the folder 1.

    Returns:
        The path of the file.

    Raises:
        ValueError: for a format, part or precision that is not there, for a network that cannot be exported so, and for a file
            that does not do what the network does; it is removed.
        FileExistsError: if there is such a file.

    Example:
        >>> import tempfile
        >>> from scripts.data.phantoms import phantom
        >>> from scripts.exporting import export_network
        >>> from scripts.inferers import VolumeInferer
        >>> settings = {"spatial_size": [16, 16], "modalities": 1}
        >>> network = torch.nn.Conv3d(1, 2, 1).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "model.ts"
        ...     path = export_network(
        ...         network, file, VolumeInferer(4), phantom, [], {"0": "background", "1": "organ"}, settings,
        ...         format="torchscript",
        ...     )
        >>> path.name
        'model.ts'
    """
    chosen = _format(format, precision, triton)
    folder, path = Path(path), Path(path) / "1" / "model.onnx" if triton else Path(path)
    if path.suffix != chosen.suffix:
        raise ValueError(f"a file of --format {format} must end in {chosen.suffix}, got {path.name}; give another --output")
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another --output, or move the file")
    trained = [*settings["spatial_size"]]
    plane = trained if plane is None else [*plane]
    if min(plane) < 1 or (plane != trained and len(cases)):
        raise ValueError(f"plane must be two positive numbers, and {trained} to compare masks of images, got {plane}")
    if plane != trained:
        logger.warning(
            "in doubt: the network was trained on slices of %d x %d pixels and is exported for %d x %d; sam3d segment, which "
            "keeps to the former, gives other masks",
            *(*trained, *plane),
        )
    exported = part_of(network.eval().requires_grad_(False), part, plane)
    windows = inferer.on_embeddings
    about = {
        "format": format,
        "part": part,
        "precision": precision,
        "plane": plane,
        **{name: settings[name] for name in PRESET if name in settings},
        "roi_depth": windows.roi_depth,
        "inferer": {"mode": windows.mode, "overlap": windows.overlap},
        "labels": dict(labels),
        "regions": {name: [*values] for name, values in regions.items()},
        "region_values": [*region_values],
        "checkpoints": [{"file": Path(file).name, "sha256": file_digest(str(file))} for file in checkpoints_of(checkpoint)],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES[format]}},
        **({"opset": OPSET} if format == "onnx" else {}),
    }
    modalities = int(settings["modalities"])
    shape = (*plane, windows.roi_depth + max(windows.roi_depth // 2, 1))
    others = ((f"image {number}", cases[number - 1]["image"][None]) for number in range(1, len(cases) + 1))
    volumes = chain([("a phantom", _phantom(phantom, modalities, shape))], others)
    with atomic_write(path) as temporary, torch.no_grad():
        examples = [_phantom(phantom, modalities, (*plane, depth)) for depth in _depths(windows.roi_depth)]
        inputs = [exported.to_input(volume) for volume in examples]
        chosen.write(exported, inputs[3], temporary)  # more than one slice: a single one would be taken for fixed
        if precision != "float32":
            lower_precision(temporary, precision, inputs)
        function = chosen.read(temporary)
        error = logit_error(exported.module, function, inputs)
        if error != error or (precision == "float32" and error > RELATIVE):
            raise ValueError(
                f"the exported network must give the network's logits within {RELATIVE:g} of the largest, and differs by "
                f"{error:.3g}; the file is not kept. Take another --format or --precision"
            )
        logger.info("largest difference at depths of %s: %.2g of the largest logit", _depths(windows.roi_depth), error)
        through = Applied(exported.with_part(function))
        compared = []
        for name, volume in volumes:
            volume = torch.as_tensor(volume).as_subclass(torch.Tensor)
            masks = compare_masks(inferer(volume, network), inferer(volume, through), bool(regions))
            _require_same(masks, name, precision)
            compared.append(masks)
        dice = min(masks.dice for masks in compared)
        if precision != "float32":
            logger.info("masks of %s against those of float32: Dice %.4f or more", precision, dice)
        measured = {
            "depths": _depths(windows.roi_depth),
            "logit_error": error,
            "volumes": len(compared),
            "voxels": sum(masks.voxels for masks in compared),
            "different": sum(masks.different for masks in compared),
            "dice": dice,
        }
        chosen.describe(temporary, {**about, "measured": measured})
    if triton:
        write_triton(folder, path)
    return path


def _format(name: str, precision: str, triton: bool) -> Format:
    if name not in FORMATS:
        raise ValueError(f"format must be {', '.join(FORMATS)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be {', '.join(PRECISIONS)}, got {precision!r}")
    if name != "onnx" and (precision != "float32" or triton):
        raise ValueError(f"a lower precision and Triton's folders are for ONNX files, got format {name!r}; take --format onnx")
    return FORMATS[name]


def _depths(roi_depth: int) -> list[int]:
    return [1, 2, roi_depth, roi_depth + 1, 2 * roi_depth + 1]


def _phantom(phantom: Phantom, modalities: int, shape: Sequence[int]) -> torch.Tensor:
    """(1, M, H, W, D) in [0, 1]"""
    generator = np.random.default_rng(0)
    volume = torch.stack([torch.from_numpy(phantom(generator, shape)[0]).float() for _ in range(modalities)])
    low, high = volume.amin((1, 2, 3), keepdim=True), volume.amax((1, 2, 3), keepdim=True)
    return ((volume - low) / (high - low))[None]


class Applied(nn.Module):
    """A function as what an inferer applies."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return self.function(volume)


def _require_same(masks: Masks, name: str, precision: str) -> None:
    """Raises ValueError."""
    if precision == "float32" and masks.different > TIES * masks.voxels:
        raise ValueError(
            f"the exported network must give the network's masks, and that of {name} differs in {masks.different} of "
            f"{masks.voxels} voxels; the file is not kept. Take another --format"
        )
    apart = f"{masks.different} of {masks.voxels} voxels differ" if masks.different else "identical"
    logger.info("mask of %s: %s", name, apart)
