"""A mask -> the record beside it of what it was made from, by which a run that was interrupted knows what is done."""

import json
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ...basics.case import NamedCase, file_of
from ...basics.contracts import is_on_embeddings
from ...basics.map_files import MAP_FILE, map_file
from ...files.atomic_write import write_json
from ...files.checkpoint_file import checkpoints_of, weights_digest
from ...files.file_digest import digest, file_digest
from ...run.settings import Changes, chosen
from ..cases.case_error import CaseError, printable
from ..cases.open_case import headers_of
from ..formats.image_file import ImageFile
from .save_mask import says_that_it_is_ours

logger = logging.getLogger(__name__)

PACKAGES = ("monai", "torch", "nibabel", "numpy", "pytorch-ignite", "segment-anything", "SimpleITK", "pydicom")
SOFTWARE = "SAM-3D, a MONAI bundle"


class MaskRecords:
    """Writes `output_dir`/NAME.json for the mask `output_dir`/NAME.nii.gz.

    A record holds the sha256 of the image's files, of the checkpoint and of its weights alone, of the encoder's weights (or the
    words `random, seed N`), of the configuration and of the mask; versions, device, and the time in UTC.

    Args:
        output_dir: of the masks.
        checkpoint: the network's, or the list of an ensemble's; the record then holds a list too.
        encoder_weights: a file, or the word `random`.
        encoder_seed: of random weights.
        device: on which the network runs.
        network: of one without a slice encoder's embeddings the record holds null for `encoder_weights`.
        settings: of this run; those that change a mask count.
        maps: names of the maps that belong to each mask, see `map_names`.
        reuse: whether a mask whose record says that it would come out the same counts as done.

    Masks in the folder that another checkpoint made are named in one warning, so that they are not taken for this one's.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import CaseReport, MaskRecords, check_headers, find_images
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     images, masks = Path(folder) / "images", Path(folder) / "masks"
        ...     (case,) = check_headers(find_images(images, masks), modalities=1, report=CaseReport(masks))
        ...     records = MaskRecords(masks, "model.pt", "random", encoder_seed=0, device="cpu")
        ...     record = records.begin(case)
        ...     record["device"], records.finished(case, record)
        ('cpu', None)
    """

    def __init__(
        self,
        output_dir: str | Path,
        checkpoint: str | Path | Sequence[str],
        encoder_weights: str | Path,
        encoder_seed: int,
        device: torch.device | str,
        network: object = None,
        settings: Mapping[str, Any] = {},
        maps: Sequence[str] = (),
        reuse: bool = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.maps = maps
        self.reuse = reuse and bool(settings)  # where these are not known, nobody knows whether a mask would come out the same
        device = torch.device(device)
        with_encoder = is_on_embeddings(network) and network.encoder.out_channels > 0
        self.made_by: dict[str, Any] = {
            "software": SOFTWARE,
            "checkpoint": _one_or_all([_checkpoint(path) for path in checkpoints_of(checkpoint)]),
            "encoder_weights": _encoder(encoder_weights, encoder_seed) if with_encoder else None,
            "config_sha256": digest(json.dumps(chosen(settings, Changes.NETWORK, Changes.MASK), sort_keys=True)),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        }
        if others := [mask for mask in sorted(self.folder.rglob("*_seg.nii.gz")) if self._is_of_another(mask)]:
            record = _record_of(others[0])
            logger.warning(
                "%s holds %d masks that another checkpoint made, or this one with other settings, such as %s by %s; those of "
                "this run's images are made anew, the others stay",
                *(self.folder, len(others), printable(others[0].name)),
                printable(", ".join(file["file"] for file in _all(record["checkpoint"]))),
            )

    def begin(self, case: NamedCase) -> dict[str, Any]:
        """What the mask of this case is going to be made from: the image as it is now.

        Raises CaseError when another's files have the names of the mask and its record.
        """
        mask, record = self._mask(case), self._path(case)
        there = [path for path in (mask, record) if os.path.lexists(path)]
        files = all(path.is_file() for path in there)  # a pipe would be waited for
        if there and not (files and (has_own_record(mask) or says_that_it_is_ours(mask))):
            found = f"{there[0]} is there and was not written by this bundle"
            remedy = "choose another output folder, or move that file"
            raise CaseError(file_of(case), "a mask must not overwrite another file", found, remedy)
        for path in self._maps(case):
            if os.path.lexists(path) and not (path.is_file() and says_that_it_is_ours(path)):
                found = f"{path} is there and was not written by this bundle"
                remedy = "choose another output folder, or move that file"
                raise CaseError(file_of(case), "a mask must not overwrite another file", found, remedy)
        images = [{"file": image.path, "sha256": _image_digest(image)} for image in headers_of(case).images]
        return {"image": images, **self.made_by}

    def finished(self, case: NamedCase, record: dict[str, Any]) -> str | None:
        """The mask of this case, if it is there, undamaged, and made from the same; so are the maps that belong to it."""
        mask = self._mask(case)
        if not self.reuse or not mask.is_file():
            return None
        try:
            saved = _record_of(mask)
            same = saved.pop("mask_sha256") == file_digest(str(mask)) and saved.pop("written") is not None
            maps = saved.pop("maps", {})
            same = same and all(maps[path.name] == file_digest(str(path)) for path in self._maps(case))
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return None
        if not same or saved != _as_saved(record):
            return None
        logger.info("%s is there already, made from the same", printable(str(mask)))
        return str(mask.resolve())

    def write(self, case: NamedCase, record: dict[str, Any], mask: str) -> None:
        content = {
            **record,
            "mask_sha256": file_digest(mask),
            **({"maps": {path.name: file_digest(str(path)) for path in self._maps(case)}} if self.maps else {}),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        for path in self._recorded_maps(case):
            if path.name not in content.get("maps", {}):
                _remove_own(path)  # of an older mask
        write_json(self._path(case), content)

    def discard(self, case: NamedCase) -> None:
        """Removes the mask that an earlier run made for a case that is refused now, and the maps of any run."""
        for path in (*self._recorded_maps(case), *self._maps(case)):
            _remove_own(path)
        if has_own_record(self._mask(case)):  # else the file is not ours
            self._mask(case).unlink(missing_ok=True)
            self._path(case).unlink()

    def _is_of_another(self, mask: Path) -> bool:
        try:
            record = _record_of(mask)
            return record["software"] == SOFTWARE and _makers(record) != _makers(self.made_by)
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return False

    def _mask(self, case: NamedCase) -> Path:
        return self.folder / f"{case['name']}.nii.gz"

    def _maps(self, case: NamedCase) -> list[Path]:
        return [self.folder / map_file(case["name"], name) for name in self.maps]

    def _recorded_maps(self, case: NamedCase) -> list[Path]:
        """Those that the record at hand names."""
        mask = self._mask(case)
        names = _record_of(mask).get("maps", {}) if has_own_record(mask) else ()
        return [mask.with_name(name) for name in names if MAP_FILE.search(name) and os.path.basename(name) == name]

    def _path(self, case: NamedCase) -> Path:
        return self.folder / f"{case['name']}.json"


def _remove_own(file: Path) -> None:
    if says_that_it_is_ours(file):
        file.unlink()


def has_own_record(mask: Path) -> bool:
    """Whether beside it lies what `MaskRecords` writes beside every mask."""
    try:
        return _record_of(mask)["software"] == SOFTWARE
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _makers(record: Mapping[str, Any]) -> list[Any]:
    """What it was made by and not where that lies: checkpoint, encoder and settings."""
    files = (*_all(record["checkpoint"]), record["encoder_weights"])
    return [*(file.get("sha256") if isinstance(file, dict) else file for file in files), record["config_sha256"]]


def _record_of(mask: Path) -> Any:
    path = mask.with_name(f"{mask.name.removesuffix('.nii.gz')}.json")
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(path)
    return json.loads(path.read_text(encoding="utf-8"))


def _as_saved(record: dict[str, Any]) -> Any:
    return json.loads(json.dumps(record).encode("utf-8", "backslashreplace"))


def _encoder(weights: str | Path, seed: int) -> Any:
    return f"random, seed {seed}" if str(weights) == "random" else _file(weights)


def _one_or_all(files: list[dict[str, str]]) -> Any:
    return files[0] if len(files) == 1 else files


def _all(files: Any) -> list[Any]:
    return files if isinstance(files, list) else [files]


def _file(path: str | Path) -> dict[str, str]:
    return {"file": str(path), "sha256": file_digest(str(path))} if Path(path).is_file() else {"file": str(path)}


def _checkpoint(path: str | Path) -> dict[str, str]:
    """What `sam3d calibrate` writes into it changes its sha256, and not that of its weights."""
    file = _file(path)
    return {**file, "weights_sha256": weights_digest(Path(path))} if "sha256" in file else file


def _image_digest(image: ImageFile) -> str:
    try:
        return file_digest(image.files[0]) if len(image.files) == 1 else digest(*map(file_digest, image.files))
    except OSError as error:
        raise CaseError(image.path, "an image must be readable", str(error), "check its permissions") from error
