"""Listed cases -> those whose headers are in order, opened; what is wrong with the others is said at once, before any work."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ...basics.case import AnyCase, Case, Listed, as_list
from ..formats.dicom_series import series_in
from ..formats.image_file import ImageFile, Note
from .case_error import CaseError
from .open_case import headers_of, open_case

Case_contra = TypeVar("Case_contra", bound=Case, contravariant=True)


class Report(Protocol):
    def refused(self, case: Case, error: BaseException) -> object: ...
    def noted(self, case: Case, notes: Sequence[tuple[str, Note]]) -> None: ...


class Masks(Protocol[Case_contra]):
    def discard(self, case: Case_contra) -> None: ...


def check_headers(
    listed: Listed[AnyCase], modalities: int, report: Report, masks: Masks[AnyCase] | None = None
) -> list[AnyCase]:
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

    def refuse(case: AnyCase, error: Exception) -> None:
        report.refused(case, error)
        if masks is not None:
            masks.discard(case)

    for case, error in listed.refused:
        refuse(case, error)
    opened: list[AnyCase] = []
    folders: dict[str, set[str]] = defaultdict(set)  # of each DICOM series
    with logging_redirect_tqdm():
        for case in tqdm(listed.cases, desc="reading headers", unit="case", dynamic_ncols=True):
            try:
                headers = open_case(case, modalities)
            except Exception as error:  # also what no rule foresaw costs this case alone
                refuse(case, error)
                for file in as_list(case["image"]):
                    if series := series_in(file):
                        folders[series].add(os.path.abspath(file))
            else:
                opened.append(case.copy())
                opened[-1]["opened"] = headers
    for image in (image for case in opened for image in headers_of(case).images):
        if image.series is not None:
            folders[image.series].add(_folder_of(image))
    good = []
    for case in opened:
        if error := _divided(case, folders):
            refuse(case, error)
        else:
            report.noted(case, headers_of(case).notes)
            good.append(case)
    return good


def _divided(case: Case, folders: Mapping[str, set[str]]) -> CaseError | None:
    """Parts of one series would each pass for a whole volume."""
    for image in headers_of(case).images:
        if image.series is not None and (others := sorted(folders[image.series] - {_folder_of(image)})):
            found = f"slices of it are also in {', '.join(others)}"
            return CaseError(image.path, "a series must lie in one folder", found, "put its files together or remove a copy")
    return None


def _folder_of(image: ImageFile) -> str:
    return os.path.abspath(os.path.dirname(image.files[0]))
