"""Listed cases -> those whose headers are in order, opened; what is wrong with the others is said at once, before any work."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ...basics.case import Case, Listed
from ..formats.image_file import Note
from .case_error import CaseError
from .open_case import open_case


class Report(Protocol):
    def refused(self, case: Case, error: BaseException) -> None: ...
    def noted(self, case: Case, notes: Sequence[tuple[str, Note]]) -> None: ...


class Masks(Protocol):
    def discard(self, case: Case) -> None: ...


def check_headers(listed: Listed, modalities: int, report: Report, masks: Masks | None = None) -> list[Case]:
    """The good cases, each with what was `opened`; the report gets the others, and what is odd about the good ones.

    See `open_case` for the rules; of a DICOM series all slices must lie in one folder.

    masks: where earlier runs left some; that of a case which is refused now is discarded.
    """

    def refuse(case: Case, error: Exception) -> None:
        report.refused(case, error)
        if masks is not None:
            masks.discard(case)

    for case, error in listed.refused:
        refuse(case, error)
    opened: list[Case] = []
    with logging_redirect_tqdm():
        for case in tqdm(listed.cases, desc="reading headers", unit="case", dynamic_ncols=True):
            try:
                opened.append({**case, "opened": open_case(case, modalities)})
            except Exception as error:  # also what no rule foresaw costs this case alone
                refuse(case, error)
    folders = _folders_of_series(opened)
    good = []
    for case in opened:
        if error := _divided(case, folders):
            refuse(case, error)
        else:
            report.noted(case, case["opened"].notes)
            good.append(case)
    return good


def _folders_of_series(cases: Sequence[Case]) -> dict[str, set[str]]:
    folders = defaultdict(set)
    for case in cases:
        for image in case["opened"].images:
            if image.series is not None:
                folders[image.series].add(image.path)
    return folders


def _divided(case: Case, folders: dict[str, set[str]]) -> CaseError | None:
    """Parts of one series would each pass for a whole volume."""
    for image in case["opened"].images:
        if others := sorted(folders.get(image.series, set()) - {image.path}):
            found = f"slices of it are also in {', '.join(others)}"
            return CaseError(image.path, "a series must lie in one folder", found, "put its files together or remove a copy")
    return None
