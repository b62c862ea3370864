"""The lists of a dataset -> the cases that may be trained on: every voxel looked at before the first step."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

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
from .annotated import annotation_of
from .case_error import CaseError, cause_of, first_line
from .check_headers import check_headers
from .open_case import headers_of
from .read_case import doubts_of
from .twins import Shown, notes_on_twins, restored, shown_in

logger = logging.getLogger(__name__)


class Seen(NamedTuple):
    """Of a case whose every voxel was read and prepared. doubts: with the file that each concerns."""

    shown: Shown
    doubts: list[tuple[str, Note]]


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
        remember: the file in which what passed is remembered, by the sha256 of image and label and of the preprocessing, with
            what it shows (`twins`).
        skip_bad: leave out cases that are not in order, instead of raising.
        num_workers: processes that read and preprocess.

    Returns:
        The cases of each part that are in order.

    Raises:
        CaseError: when a case is bad, after all of them are in the log and in the report, unless `skip_bad`; and when nothing
            is left. Without any case for validation the report says what that means.

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
        if not good and (part == "training" or cases[part].refused or cases[part].cases):
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
    known = _remembered(remember)
    new = {key: case for (_, case), key in zip(listed, keys, strict=True) if key not in known}
    # A copy: use may leave something behind in transforms, by whose parameters cached embeddings are known.
    seen = _seen(list(new.values()), Compose(deepcopy(list(preprocessing))), num_workers)
    found: dict[str, Seen | CaseError] = {**known, **dict(zip(new, seen, strict=True))}
    results = [(part, case, found[key]) for (part, case), key in zip(listed, keys, strict=True)]
    for (_, case), content in zip(listed, contents, strict=True):
        case["contents"] = digest(*content)
    notes = iter(notes_on_twins([(part, case, seen.shown) for part, case, seen in results if isinstance(seen, Seen)]))
    for part, case, result in results:
        if isinstance(result, CaseError):
            report.refused(case, result)
            good[part].remove(case)
        else:
            report.noted(case, [*result.doubts, *next(notes)])
            report.done(case)
    if "validation" in cases and not any(cases["validation"]):
        found_none = "model.pt holds the weights of the last epoch, no score chooses them, and nothing stops early"
        report.doubted("all cases serve training, none validation", found_none)
    # Without those in doubt: what is odd about them is said again.
    write_json(remember, {key: seen.shown for key, seen in sorted(found.items()) if isinstance(seen, Seen) and not seen.doubts})
    return good


def _contents(case: Case) -> tuple[str, ...]:
    """Digests of the image's files and of the label's, and which classes that tells of, if not of all."""
    opened = headers_of(case)
    files = (digest(*map(file_digest, opened.image_files)), digest(*map(file_digest, opened.label_files)))
    return files + annotation_of(case)


def _seen(cases: list[Case], preprocessing: Compose, num_workers: int) -> Iterable[Seen | CaseError]:
    if not cases:
        return []
    results = DataLoader(_Tried(cases, preprocessing), batch_size=None, num_workers=num_workers)
    with logging_redirect_tqdm():
        return list(tqdm(results, desc="checking voxels", unit="case", total=len(cases), dynamic_ncols=True))


class _Tried(Dataset[Seen | CaseError]):
    """Case -> what was seen of it, or its error, if preprocessing raises one."""

    def __init__(self, cases: list[Case], preprocessing: Compose) -> None:
        self.cases = cases
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Seen | CaseError:
        data: Any = self.cases[index]
        file, shown = file_of(data), None
        try:
            for step in self.preprocessing.transforms:
                data = step(data)
                if shown is None and isinstance(data["image"], torch.Tensor):
                    shown = shown_in(data)
        except Exception as error:
            cause = cause_of(error)
            if isinstance(cause, CaseError):
                return cause
            return CaseError(file, "every step of the preprocessing must succeed", first_line(cause), "look at this case")
        assert shown is not None, "no step of the preprocessing reads the image"
        return Seen(shown, doubts_of(data, file))


def _remembered(path: Path) -> dict[str, Seen]:
    """Of a damaged file nothing is remembered."""
    try:
        return {key: Seen(restored(saved), []) for key, saved in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
