"""What became of each case -> report.json, a table in the log, and the exit code."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from .case_error import CaseError
from .datalist import as_list

logger = logging.getLogger(__name__)


class CaseReport:
    """Entries {file, status: written | refused, rule, reason, mask}, saved to `output_dir`/report.json after every case."""

    def __init__(self, output_dir: str | Path) -> None:
        self.path = Path(output_dir) / "report.json"
        self.entries: list[dict[str, Any]] = []
        self._save()  # an output folder that cannot be written is found before the work starts

    def written(self, case: dict[str, Any], mask: str) -> None:
        self._add(file=_file(case), status="written", rule=None, reason=None, mask=mask)

    def refused(self, case: dict[str, Any], error: BaseException) -> None:
        """`error` or what caused it becomes the reason; the log says it at once."""
        while not isinstance(error, CaseError) and error.__cause__ is not None:
            error = error.__cause__
        if isinstance(error, CaseError):
            rule, reason = error.rule, f"{error.found}; {error.remedy}"
        else:
            rule, reason = "every step must succeed", f"{type(error).__name__}: {error}"
        logger.error("refused %s: %s; %s", _file(case), rule, reason)
        self._add(file=_file(case), status="refused", rule=rule, reason=reason, mask=None)

    def finish(self) -> None:
        """Logs the final count and ends the process with exit code 1 if any case was refused."""
        counts = Counter(entry["status"] for entry in self.entries)
        for entry in self.entries:
            if entry["status"] == "refused":
                logger.error("refused  %s: %s; %s", entry["file"], entry["rule"], entry["reason"])
        logger.info("%d written, %d refused; %s", counts["written"], counts["refused"], self.path)
        if counts["refused"]:
            raise SystemExit(1)

    def _add(self, **entry: Any) -> None:
        self.entries.append(entry)
        self._save()

    def _save(self) -> None:
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self.entries, indent=2, ensure_ascii=False), encoding="utf-8")


def _file(case: dict[str, Any]) -> str:
    return str(as_list(case["image"])[0])
