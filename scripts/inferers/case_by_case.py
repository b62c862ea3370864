"""A list of cases -> an evaluator run on each, where a bad case costs only itself."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

from monai.data import Dataset, list_data_collate
from monai.engines import Evaluator
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

Case = dict[str, Any]


class Report(Protocol):
    def done(self, case: Case, mask: str | None) -> None: ...
    def refused(self, case: Case, error: BaseException) -> None: ...


class Records(Protocol):
    def begin(self, case: Case) -> Case: ...
    def finished(self, case: Case, record: Case) -> str | None: ...
    def write(self, case: Case, record: Case, mask: str) -> None: ...
    def discard(self, case: Case) -> None: ...


def run_case_by_case(
    evaluator: Evaluator,
    dataset: Dataset,
    report: Report,
    records: Records,
    then: Callable[[Case], None] = lambda result: None,
) -> None:
    """Runs `evaluator` on every case of `dataset` by itself, with a progress bar.

    A case whose reading, segmentation or writing fails goes into the report and the next one follows; the results of the
    others (what was read and what the evaluator's postprocessing made of it) are handed to `then`. A case whose mask is
    finished, as the records know, is not run again.
    """
    evaluator.interrupt_resume_enabled = False  # else ignite's run after one that failed returns at once, having done nothing
    evaluator.logger.setLevel(logging.CRITICAL)  # ignite logs every exception with its traceback; the report has the reason
    with logging_redirect_tqdm():
        for index, case in enumerate(tqdm(dataset.data, desc="cases", unit="case", dynamic_ncols=True)):
            try:
                record = records.begin(case)
                mask = records.finished(case, record)
                if mask is None:
                    evaluator.data_loader = [list_data_collate([dataset[index]])]
                    evaluator.state.epoch_length = 1
                    evaluator.run()
                    result = {**evaluator.state.batch[0], **evaluator.state.output[0]}
                    then(result)
                    mask = result["mask"]
                    records.write(case, record, mask)
            except Exception as error:
                records.discard(case)
                report.refused(case, error)
            else:
                report.done(case, mask)
