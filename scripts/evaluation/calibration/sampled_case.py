"""A case of an evaluation -> what its calibration needs of it, in a small file; and back."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from ...basics.cleaning import Cleaning
from ...basics.geometry import spacing_of
from ...basics.voxel_sample import VoxelSample
from ...files.atomic_write import atomic_write
from ...files.own_file import refuse_foreign
from ..class_dice import class_dice

FOLDER = "calibration"  # of an evaluation
LARGEST = 65504.0  # of half precision
ARRAYS = ("places", "logits", "weights", "mask", "reference", "dice", "voxels", "voxels_reference")
OF_ENSEMBLES = "disagreement"  # one more


@dataclass(frozen=True)
class SampledCase:
    """N sampled voxels of a case with S structures.

    part: of the dataset. files: `image`, `mask` and `reference`. cleaning: of the mask. spacing: mm of the voxels, None if
    unknown. annotated: whether all structures are.
    places: (N,), in the grid of the file as one row. logits: (N, K), divided by no temperature. weights: (N,).
    mask, reference: (N,), class numbers.
    dice: (S,), of all voxels, NaN where neither side has the structure and where nobody annotated it.
    voxels, voxels_reference: (S,), in all; those of the reference NaN where nobody annotated it.
    disagreement: (N,), of the networks of an ensemble, see `networks.Ensemble`; None of one network.
    """

    name: str
    part: str
    files: Mapping[str, str]
    cleaning: Cleaning
    spacing: Sequence[float] | None
    annotated: bool
    places: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    mask: np.ndarray
    reference: np.ndarray
    dice: np.ndarray
    voxels: np.ndarray
    voxels_reference: np.ndarray
    disagreement: np.ndarray | None = None


class SampledCases:
    """Writes `output_dir`/calibration/NAME.npz for each case of an evaluation.

    Logits are kept as half precision: of a logit of 10, the last digit is 0.008.

    Args:
        output_dir: of the evaluation.
        labels: label value -> name, the background first.
        structures: name -> class numbers, see `data.structures`.
        temperature: by which the logits were divided, one or one for each channel; it is taken out again.
        cleaning: of the masks.
        ignore_label: values of the reference whose voxels count on neither side.
        spacing_known: False if the headers' spacing means nothing.
        part: of the dataset that is evaluated.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from scripts.basics.voxel_sample import VoxelSample
        >>> from scripts.evaluation import SampledCases
        >>> from scripts.evaluation.calibration.sampled_case import read_sampled_cases
        >>> reference = MetaTensor(torch.zeros(1, 4, 4, 4), meta={"filename_or_obj": "label.nii.gz"})
        >>> reference[:, :2] = 7
        >>> voxels = VoxelSample(torch.arange(64), torch.randn(64, 2), torch.ones(64))
        >>> case = {**dict.fromkeys(("image", "reference", "pred"), reference), "name": "scan_seg", "mask": "scan_seg.nii.gz"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     SampledCases(folder, {"0": "background", "7": "liver"}, {"liver": [1]}).add({**case, "voxels": voxels})
        ...     (read,) = read_sampled_cases(folder)
        >>> read.name, read.dice.tolist(), read.voxels.tolist(), int(read.reference.sum())
        ('scan', [1.0], [32.0], 32)
    """

    def __init__(
        self,
        output_dir: str | Path,
        labels: Mapping[str, str],
        structures: Mapping[str, Sequence[int]],
        temperature: float | Sequence[float] = 1.0,
        cleaning: Cleaning = MappingProxyType({}),
        ignore_label: Sequence[int] = (),
        spacing_known: bool = True,
        part: str = "validation",
    ) -> None:
        self.folder = Path(output_dir) / FOLDER
        self.values = [int(value) for value in labels]
        self.names = list(labels.values())
        self.structures = structures
        self.about = {"part": part, "cleaning": {name: dict(steps) for name, steps in cleaning.items()}}
        self.temperature = torch.tensor(temperature).reshape(1, -1)
        self.ignore_label = list(ignore_label)
        self.spacing_known = spacing_known

    def clear(self) -> None:
        """Removes those of an earlier evaluation. Raises FileExistsError, before that, for a file that is somebody else's."""
        there = sorted(self.folder.rglob("*.npz"))
        for path in there:
            refuse_foreign(path, lambda path: {*ARRAYS} <= _arrays(path).keys())
        for path in there:
            path.unlink()
        for folder in sorted({path.parent for path in there} | {self.folder}, reverse=True):
            with suppress(OSError):  # not there, or something else lies in it
                folder.rmdir()

    def add(self, output: Mapping[str, Any]) -> None:
        """Writes one case.

        Args:
            output: with `voxels`, and `pred` and `reference` (1, H, W, D) of label values on one grid.
        """
        voxels: VoxelSample = output["voxels"]
        mask, reference = (output[key].as_tensor().cpu() for key in ("pred", "reference"))
        ignored = torch.isin(reference, torch.tensor(self.ignore_label).to(reference))
        mask, reference = (self._numbers(side.masked_fill(ignored, 0)) for side in (mask, reference))
        found, expected = (torch.cat([self._members(side, name) for name in self.structures]) for side in (mask, reference))
        annotated = output.get("annotated", self.names)
        unknown = [any(self.names[number] not in annotated for number in numbers) for numbers in self.structures.values()]
        counted = ~ignored.flatten()[voxels.places]
        places = voxels.places[counted]
        dice, size = class_dice(found[None], expected[None])[0], expected.flatten(1).sum(-1).float()
        dice[unknown], size[unknown] = torch.nan, torch.nan
        name = str(output["name"]).removesuffix("_seg")  # its mask's
        spacing = spacing_of(output["reference"].affine).tolist() if self.spacing_known else None
        files = {key: str(output[key].meta["filename_or_obj"]) for key in ("image", "reference")}
        files["mask"] = str(output["mask"])
        apart: dict[str, Any] = {}
        if voxels.disagreement is not None:
            apart[OF_ENSEMBLES] = voxels.disagreement[counted].half().numpy()
        about = {**self.about, "name": name, "files": files, "spacing": spacing, "annotated": not any(unknown)}
        with atomic_write(self.folder / f"{name}.npz") as temporary:
            np.savez_compressed(
                temporary,
                about=np.array(json.dumps(about)),
                places=places.numpy(),
                logits=(voxels.logits * self.temperature)[counted].clamp(-LARGEST, LARGEST).half().numpy(),
                weights=voxels.weights[counted].numpy(),
                mask=mask.flatten()[places].numpy().astype(np.uint16),
                reference=reference.flatten()[places].numpy().astype(np.uint16),
                dice=dice.numpy(),
                voxels=found.flatten(1).sum(-1).double().numpy(),
                voxels_reference=size.double().numpy(),
                **apart,
            )

    def _numbers(self, values: torch.Tensor) -> torch.Tensor:
        """Label values -> class numbers; others are background."""
        numbers = torch.zeros_like(values, dtype=torch.int16)
        for number, value in enumerate(self.values):
            numbers[values == value] = number
        return numbers

    def _members(self, numbers: torch.Tensor, structure: str) -> torch.Tensor:
        return torch.isin(numbers, torch.tensor(self.structures[structure]).to(numbers))


def read_sampled_cases(evaluation: str | Path) -> list[SampledCase]:
    """What `SampledCases` wrote of an evaluation, by names. Raises ValueError for a file that is damaged, or none of its."""
    return [_read(path) for path in sorted((Path(evaluation) / FOLDER).rglob("*.npz"))]


def _read(path: Path) -> SampledCase:
    try:
        arrays = _arrays(path)
        about = json.loads(str(arrays.pop("about")))
        for name in {"logits", OF_ENSEMBLES} & arrays.keys():
            arrays[name] = arrays[name].astype(np.float64)
        values: dict[str, Any] = {**about, **arrays}
        return SampledCase(**values)
    except Exception as error:  # of zipfile, numpy and json, whatever the bytes trigger
        raise ValueError(f"{path} cannot be read as a case of an evaluation ({error}); evaluate again") from error


def _arrays(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream, np.load(stream) as file:  # numpy leaves a damaged file open that it opens itself
        return {name: file[name] for name in ("about", *ARRAYS, *({OF_ENSEMBLES} & {*file.files}))}


def members(numbers: np.ndarray, structures: Collection[Sequence[int]]) -> np.ndarray:
    """(N,) class numbers -> (N, S), whether each voxel is in each structure."""
    return np.stack([np.isin(numbers, list(classes)) for classes in structures], -1)
