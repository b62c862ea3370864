"""Listed cases -> those whose headers are in order, opened; what is wrong with the others is said at once, before any work."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ...basics.case import Case, Listed, as_list
from ..formats.dicom_series import series_in
from ..formats.image_file import ImageFile, Note
from .case_error import CaseError
from .open_case import open_case


class Report(Protocol):
    def refused(self, case: Case, error: BaseException) -> None: ...
    def noted(self, case: Case, notes: Sequence[tuple[str, Note]]) -> None: ...


class Masks(Protocol):
    def discard(self, case: Case) -> None: ...


def check_headers(listed: Listed, modalities: int, report: Report, masks: Masks | None = None) -> list[Case]:
    """Opens the headers of all cases. See `open_case` for the rules; of a DICOM series all slices must lie in one folder.

    Args:
        listed: of a datalist or a folder; what that refused already is refused here too.
        modalities: channels that a case must have.
        report: gets the cases that are refused, and what is odd about the good ones.
        masks: where earlier runs left some; that of a case which is refused now is discarded.

    Returns:
        The good cases, each with what was `opened`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import CaseReport, check_headers, read_datalist
        >>> from scripts.data.phantoms import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 2, "validation": 1}, shape=(16, 14, 8))
        ...     cases = check_headers(read_datalist(folder)["training"], modalities=1, report=CaseReport(folder))
        >>> cases[0]["opened"].images[0].shape
        (16, 14, 8)
    """

    def refuse(case: Case, error: Exception) -> None:
        report.refused(case, error)
        if masks is not None:
            masks.discard(case)

    for case, error in listed.refused:
        refuse(case, error)
    opened: list[Case] = []
    folders: dict[str, set[str]] = defaultdict(set)  # of each DICOM series
    with logging_redirect_tqdm():
        for case in tqdm(listed.cases, desc="reading headers", unit="case", dynamic_ncols=True):
            try:
                opened.append({**case, "opened": open_case(case, modalities)})
            except Exception as error:  # also what no rule foresaw costs this case alone
                refuse(case, error)
                for file in as_list(case["image"]):
                    if series := series_in(file):
                        folders[series].add(os.path.abspath(file))
    for image in (image for case in opened for image in case["opened"].images):
        if image.series is not None:
            folders[image.series].add(_folder_of(image))
    good = []
    for case in opened:
        if error := _divided(case, folders):
            refuse(case, error)
        else:
            report.noted(case, case["opened"].notes)
            good.append(case)
    return good


def _divided(case: Case, folders: Mapping[str | None, set[str]]) -> CaseError | None:
    """Parts of one series would each pass for a whole volume."""
    for image in case["opened"].images:
        if others := sorted(folders.get(image.series, set()) - {_folder_of(image)}):
            found = f"slices of it are also in {', '.join(others)}"
            return CaseError(image.path, "a series must lie in one folder", found, "put its files together or remove a copy")
    return None


def _folder_of(image: ImageFile) -> str:
    return os.path.abspath(os.path.dirname(image.files[0]))
