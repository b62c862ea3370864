"""The lists of a dataset -> the cases that may be trained on: every voxel looked at before the first step."""

import json
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.transforms import Compose, Transform
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ...basics.case import Case, Listed, file_of
from ...files.atomic_write import write_json
from ...files.file_digest import digest, file_digest
from ..formats.image_file import Note
from ..masks.case_report import CaseReport
from ..preprocessing.preprocessing_digest import preprocessing_digest
from .case_error import CaseError, cause_of, first_line
from .check_headers import check_headers
from .open_case import headers_of
from .read_case import doubts_of

Result = CaseError | list[tuple[str, Note]]

logger = logging.getLogger(__name__)


def check_training(
    cases: Mapping[str, Listed[Case]],
    modalities: int,
    preprocessing: Sequence[Transform],
    report: CaseReport,
    remember: str | Path,
    skip_bad: bool = False,
    num_workers: int = 0,
) -> dict[str, list[Case]]:
    """Looks at every voxel before the first step of training.

    First all headers, in seconds; then each case goes through the preprocessing once, as in training, so that nothing is found
    in the night. Of several processes the first one looks.

    Args:
        cases: of each part (training, validation), as `read_datalist` gives them.
        modalities: channels that a case must have.
        preprocessing: deterministic transforms, the first of which reads.
        report: gets every case, with the reason where it is refused.
        remember: the file in which what passed is remembered, by the sha256 of image and label and of the preprocessing.
        skip_bad: leave out cases that are not in order, instead of raising.
        num_workers: processes that read and preprocess.

    Returns:
        The cases of each part that are in order.

    Raises:
        CaseError: when a case is bad, after all of them are in the log and in the report, unless `skip_bad`; and when nothing
            is left.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import CaseReport, ReadCased, check_training, read_datalist
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 2, "validation": 1}, shape=(16, 14, 8))
        ...     report, remember = CaseReport(folder), Path(folder) / "checked.json"
        ...     good = check_training(read_datalist(folder), 1, [ReadCased(1, LABELS)], report, remember)
        >>> {part: len(cases) for part, cases in good.items()}
        {'training': 2, 'validation': 1}
    """
    found = _check(cases, modalities, preprocessing, report, Path(remember), num_workers) if idist.get_rank() == 0 else {}
    if idist.get_world_size() > 1:
        everywhere = [found]
        torch.distributed.broadcast_object_list(everywhere)
        (found,) = everywhere
    total = sum(len(listed.cases) + len(listed.refused) for listed in cases.values())
    bad = total - sum(len(part) for part in found.values())
    if bad and not skip_bad:
        remedy = "correct them, or leave them out by --skip-bad"
        raise CaseError(str(report.path), "training starts on good cases alone", f"{bad} of {total} are refused", remedy)
    for part, good in found.items():
        if not good:
            raise CaseError(str(report.path), f"there must be cases for {part}", "none is in order", "correct them")
    return found


def _check(
    cases: Mapping[str, Listed[Case]],
    modalities: int,
    preprocessing: Sequence[Transform],
    report: CaseReport,
    remember: Path,
    num_workers: int,
) -> dict[str, list[Case]]:
    recipe = preprocessing_digest(preprocessing)
    good = {part: check_headers(cases[part], modalities, report) for part in cases}
    listed = [(part, case) for part in good for case in good[part]]
    bar = tqdm(listed, desc="hashing files", unit="case", dynamic_ncols=True)
    contents = [_contents(case) for _, case in bar]
    keys = [digest(recipe, *content) for content in contents]
    passed = set(_remembered(remember))
    new = [case for (_, case), key in zip(listed, keys, strict=True) if key not in passed]
    # A copy: use may leave something behind in transforms, by whose parameters cached embeddings are known.
    results = iter(_results(new, Compose(deepcopy(list(preprocessing))), num_workers))
    first: dict[str, tuple[str, str]] = {}
    for (part, case), (image, _), key in zip(listed, contents, keys, strict=True):
        result = [] if key in passed else next(results)
        if isinstance(result, CaseError):
            report.refused(case, result)
            good[part].remove(case)
            continue
        report.noted(case, [*result, *_seen_before(case, part, image, first)])
        report.done(case)
        if not result:  # else it is said again
            passed.add(key)
    write_json(remember, sorted(passed))
    return good


def _contents(case: Case) -> tuple[str, str]:
    """Digests of the image's files and of the label's."""
    opened = headers_of(case)
    return digest(*map(file_digest, opened.image_files)), digest(*map(file_digest, opened.label_files))


def _seen_before(case: Case, part: str, image: str, first: dict[str, tuple[str, str]]) -> list[tuple[str, Note]]:
    """The same bytes under two names, in training and validation: public datasets have that."""
    file = file_of(case)
    other, other_part = first.setdefault(image, (file, part))
    if part == other_part:
        return []
    found = f"its bytes are those of {other}, which is in {other_part}: scores come out too good"
    return [(file, Note("training and validation should not share images", found, corrected=False))]


def _results(cases: list[Case], preprocessing: Compose, num_workers: int) -> list[Result]:
    if not cases:
        return []
    results = DataLoader(_Tried(cases, preprocessing), batch_size=None, num_workers=num_workers)
    with logging_redirect_tqdm():
        return list(tqdm(results, desc="checking voxels", unit="case", total=len(cases), dynamic_ncols=True))


class _Tried(Dataset[Result]):
    """Case -> the error that preprocessing raises, or what it notes."""

    def __init__(self, cases: list[Case], preprocessing: Compose) -> None:
        self.cases = cases
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Result:
        case = self.cases[index]
        try:
            return doubts_of(cast(dict[str, Any], self.preprocessing(case)), file_of(case))
        except Exception as error:
            cause = cause_of(error)
            if isinstance(cause, CaseError):
                return cause
            file, rule = file_of(case), "every step of the preprocessing must succeed"
            return CaseError(file, rule, first_line(cause), "look at this case")


def _remembered(path: Path) -> list[Any]:
    """Of a damaged file nothing is remembered."""
    try:
        keys = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []
