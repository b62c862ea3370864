"""Cases -> those whose headers are in order; what is wrong with the others is said at once, before any work starts."""

from collections.abc import Sequence
from typing import Protocol

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..formats.image_file import Note
from .datalist import Case
from .open_case import open_case


class Report(Protocol):
    def refused(self, case: Case, error: BaseException) -> None: ...
    def noted(self, case: Case, notes: Sequence[tuple[str, Note]]) -> None: ...


class Masks(Protocol):
    def discard(self, case: Case) -> None: ...


def check_headers(cases: Sequence[Case], modalities: int, report: Report, masks: Masks | None = None) -> list[Case]:
    """The good cases; the report gets the others, and what is odd about the good ones. See `open_case` for the rules.

    masks: where earlier runs left some; that of a case which is refused now is discarded.
    """
    good = []
    with logging_redirect_tqdm():
        for case in tqdm(cases, desc="reading headers", unit="case", dynamic_ncols=True):
            try:
                if "error" in case:  # of the list that names it
                    raise case["error"]
                opened = open_case(case, modalities)
            except Exception as error:  # also what no rule foresaw costs this case alone
                report.refused(case, error)
                if masks is not None:
                    masks.discard(case)
            else:
                report.noted(case, opened.notes)
                good.append(case)
    return good
