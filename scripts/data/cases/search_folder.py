"""A folder -> the images in it, what cannot be used, and by name what is no image."""

import logging
import os
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from ..formats.dicom_slice import is_dicom, other_class
from ..formats.open_image import SUFFIXES, data_files, is_image
from ..masks.mask_records import has_own_record
from ..masks.save_mask import is_own_map
from .case_error import CaseError, printable
from .label_maps import label_maps

logger = logging.getLogger(__name__)

SHOWN = 50  # names in a line of the log


@dataclass
class Search:
    """omitted: why -> what."""

    images: list[Path] = field(default_factory=list)
    refused: dict[Path, CaseError] = field(default_factory=dict)
    omitted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def refuse(self, path: Path, rule: str, found: str, remedy: str) -> None:
        self.refused[path] = CaseError(str(path), rule, found, remedy)


def search_folder(folder: Path, output_dir: Path, labels: Set[str]) -> Search:
    """A folder with DICOM images is one image. Neither hidden files nor linked folders nor `output_dir` are entered.

    labels: the real paths of those that are known to be labels. Others are recognised, see `label_maps`.
    """
    search, waiting = Search(), [folder]
    while waiting:  # however deep
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                visible = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
            below = {Path(entry) for entry in visible if entry.is_dir(follow_symlinks=False)}
        except OSError as error:
            found = f"its content cannot be listed ({error.strerror})"
            search.refuse(place, "a folder must be readable", found, "check its permissions")
            continue
        waiting += below - {output_dir}
        _sort(place, [path for path in map(Path, visible) if path not in below], folder, labels, search)
    found_labels, doubtful = label_maps([path for path in search.images if os.path.isfile(path)], folder)
    search.omitted["labels"] += (str(path) for path in found_labels)
    search.refused |= doubtful
    search.images = sorted(path for path in search.images if path not in found_labels and path not in doubtful)
    for why, names in search.omitted.items():
        if names:
            shown = ", ".join(sorted(printable(os.path.relpath(name, folder)) for name in names)[:SHOWN])
            more = ", ..." if len(names) > SHOWN else ""
            logger.warning("%s: %d files are %s, and are omitted: %s%s", folder, len(names), why, shown, more)
    return search


def _sort(place: Path, files: list[Path], folder: Path, labels: Set[str], search: Search) -> None:
    """The files of one folder."""
    objects, others = [], []
    inside = os.path.join(os.path.realpath(folder), "")
    seconds = data_files(file for file in files if os.path.isfile(file) and os.path.realpath(file).startswith(inside))
    for file in (file for file in files if file not in seconds):
        if os.path.islink(file) and os.path.isdir(file):
            search.omitted["links to folders"].append(str(file))
        elif is_image(file):
            if os.path.realpath(file) in labels:
                search.omitted["labels"].append(str(file))
            elif file.name.endswith("_seg.nii.gz") and has_own_record(file):
                search.omitted["masks of this bundle"].append(str(file))
            elif is_own_map(file):
                search.omitted["maps of this bundle"].append(str(file))
            elif os.path.realpath(file).startswith(inside):
                search.images.append(file)
            else:
                found = f"it leads to {os.path.realpath(file)}"
                search.refuse(file, f"images must lie inside {folder}, not behind links", found, "copy it there")
        elif os.path.islink(file) or not os.path.isfile(file):
            search.omitted["links, pipes, sockets or devices"].append(str(file))
        else:
            try:
                (objects if is_dicom(file) else others).append(file)
            except OSError as error:
                search.omitted[f"unreadable ({error.strerror})"].append(str(file))
    kinds = [other_class(file) for file in (objects if objects and other_class(objects[0]) else objects[:1])]
    if None in kinds:
        search.images.append(place)  # what else lies beside slices, exporters put there
        return
    search.omitted["DICOM objects, but no images"] += (f"{file} ({kind})" for file, kind in zip(objects, kinds, strict=True))
    others = [file for file in others if file.name not in ("dataset.json", "report.json")]
    search.omitted[f"no images ({', '.join(SUFFIXES)}, DICOM)"] += map(str, others)
