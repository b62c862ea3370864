"""Cases that were read ahead -> an evaluator run on each, where a bad case costs only itself."""

import logging
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, Protocol

from monai.data import list_data_collate
from monai.engines import Evaluator
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..basics.case import Case, NamedCase


class Tried(Protocol):
    """A case with what became of reading it: see `data.TriedCases`."""

    case: NamedCase
    record: dict[str, Any]
    data: dict[str, Any] | None
    mask: str | None
    error: Exception | None
    notes: Sequence[tuple[str, Any]]


class Loader(Sized, Iterable[Tried], Protocol):
    pass


class Report(Protocol):
    def noted(self, case: Case, notes: Sequence[tuple[str, Any]]) -> None: ...
    def done(self, case: Case, mask: str | None) -> None: ...
    def refused(self, case: Case, error: BaseException) -> str | None: ...
    def doubted(self, rule: str, found: str) -> None: ...


class Records(Protocol):
    def write(self, case: NamedCase, record: dict[str, Any], mask: str) -> None: ...
    def discard(self, case: NamedCase) -> None: ...


def run_case_by_case(
    evaluator: Evaluator,
    dataloader: Loader,
    report: Report,
    records: Records,
    then: Sequence[Callable[[dict[str, Any]], None]] = (),
) -> None:
    """Runs `evaluator` on every case by itself, with a progress bar, while the loader reads the next ones.

    A case whose reading, segmentation or writing fails goes into the report and the next one follows. A case whose mask is
    finished is not run again. Masks that all hold one and the same value are doubted: so does a network that learnt nothing.

    Args:
        evaluator: whose postprocessing writes the `mask`.
        dataloader: of cases that were tried, see `data.TriedCases`.
        report: gets every case.
        records: writes what a mask was made of; discards that of a case which fails now.
        then: each gets the results of a case: what was read and what the evaluator's postprocessing made of it.

    Example:
        >>> from types import SimpleNamespace
        >>> import torch
        >>> from monai.engines import SupervisedEvaluator
        >>> from scripts.inferers import run_case_by_case
        >>> def tried(image, error=None):
        ...     data = {"image": torch.rand(1, 8, 8, 4), "mask": f"{image}_seg.nii.gz"}
        ...     return SimpleNamespace(case={"image": image}, record={}, data=data, mask=None, error=error, notes=[])
        >>> report = SimpleNamespace(noted=lambda *_: None, done=print, refused=print)
        >>> records = SimpleNamespace(write=lambda *_: None, discard=lambda case: None)
        >>> evaluator = SupervisedEvaluator("cpu", val_data_loader=[], network=torch.nn.Conv3d(1, 2, 1))
        >>> run_case_by_case(evaluator, [tried("a", error=ValueError("damaged")), tried("b")], report, records)
        {'image': 'a'} damaged
        {'image': 'b'} b_seg.nii.gz
    """
    evaluator.interrupt_resume_enabled = False  # else ignite's run after one that failed returns at once, having done nothing
    evaluator.logger.setLevel(logging.CRITICAL)  # ignite logs every exception with its traceback; the report has the reason
    values: set[float] = set()  # in all masks, between the lowest and the highest of each
    all_new = True
    with logging_redirect_tqdm():
        for tried in tqdm(dataloader, desc="cases", unit="case", dynamic_ncols=True):
            case, mask = tried.case, tried.mask
            try:
                if tried.error is not None:
                    raise tried.error
                report.noted(case, tried.notes)
                if mask is not None:
                    all_new = False
                else:
                    evaluator.data_loader = [list_data_collate([tried.data])]
                    evaluator.state.epoch_length = 1
                    evaluator.run()
                    result = {**evaluator.state.batch[0], **evaluator.state.output[0]}
                    values |= {float(result["pred"].min()), float(result["pred"].max())}
                    for use in then:
                        use(result)
                    mask = result["mask"]
                    records.write(case, tried.record, mask)
            except Exception as error:
                if report.refused(case, error) is None:  # else its mask holds; without a record the next run makes it anew
                    records.discard(case)
            else:
                report.done(case, mask)
    if all_new and len(values) == 1:
        report.doubted("a network should tell classes apart", f"every voxel of every mask of this run is {values.pop():g}")
