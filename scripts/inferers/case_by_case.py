"""A list of cases -> an evaluator run on each, where a bad case costs only itself."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

from monai.data import Dataset, list_data_collate
from monai.engines import Evaluator
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


class Report(Protocol):
    def written(self, case: dict[str, Any], mask: str) -> None: ...
    def refused(self, case: dict[str, Any], error: BaseException) -> None: ...


def run_case_by_case(
    evaluator: Evaluator,
    dataset: Dataset,
    report: Report,
    then: Callable[[dict[str, Any]], None] = lambda result: None,
) -> None:
    """Runs `evaluator` on every case of `dataset` by itself, with a progress bar.

    A case whose reading, segmentation or writing fails goes into the report and the next one follows; the results of the
    others (what was read and what the evaluator's postprocessing made of it) are handed to `then`.
    """
    evaluator.interrupt_resume_enabled = False  # else ignite's run after one that failed returns at once, having done nothing
    evaluator.logger.setLevel(logging.CRITICAL)  # ignite logs every exception with its traceback; the report has the reason
    with logging_redirect_tqdm():
        for index, case in enumerate(tqdm(dataset.data, desc="cases", unit="case", dynamic_ncols=True)):
            try:
                evaluator.data_loader = [list_data_collate([dataset[index]])]
                evaluator.state.epoch_length = 1
                evaluator.run()
                result = {**evaluator.state.batch[0], **evaluator.state.output[0]}
                then(result)
            except Exception as error:
                report.refused(case, error)
            else:
                report.written(case, result["mask"])
