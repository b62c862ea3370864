"""What became of each case -> report.json, a table in the log, and the exit code."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from ...basics.case import Case, file_of
from ...files.atomic_write import remove_partials, write_json
from ...files.folder_lock import lock_folder
from ...files.own_file import refuse_foreign
from ..cases.case_error import CaseError, cause_of, first_line, printable
from ..formats.image_file import Note

logger = logging.getLogger(__name__)

ENTRY = ("file", "status", "rule", "reason", "mask")


class CaseReport:
    """Entries {file, status, rule, reason, mask}, saved to `output_dir`/report.json after every case.

    status: `written`, or `accepted` where no mask is made; `corrected` if something in a header was put right; `refused`.
    What is in doubt, but has no one right answer, stands as rule and reason of a case that was written.
    Of several processes the first one writes the report.

    Args:
        output_dir: locked for this process, and made if it is not there: one that cannot be written is found before the work
            starts.

    Raises:
        FileExistsError: for a report.json that does not look like this.
        RuntimeError: when another run is writing there.
        OSError: for a folder that cannot be written.

    Example:
        >>> import tempfile
        >>> from scripts.data import CaseError, CaseReport
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = CaseReport(folder)
        ...     report.done({"image": "a.nii.gz"}, mask="a_seg.nii.gz")
        ...     report.refused({"image": "b.nii.gz"}, CaseError("b.nii.gz", "the file must be whole", "it is empty", "copy it"))
        >>> [(entry["file"], entry["status"], entry["reason"]) for entry in report.entries]
        [('a.nii.gz', 'written', None), ('b.nii.gz', 'refused', 'it is empty; copy it')]
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.path = Path(output_dir) / "report.json"
        self.entries: list[dict[str, Any]] = []
        self.notes: dict[str, Sequence[tuple[str, Note]]] = {}
        self.failed = False
        if idist.get_rank() == 0:
            refuse_foreign(self.path, is_report)
            lock_folder(output_dir)  # two runs would overwrite each other's files
            remove_partials(Path(output_dir))

    def noted(self, case: Case, notes: Sequence[tuple[str, Note]]) -> None:
        """What is odd about a case that goes on; it becomes part of its entry, and the log says it at once."""
        self.notes[file_of(case)] = [*self.notes.get(file_of(case), ()), *notes]
        for file, note in notes:
            logger.warning("%s: %s; %s", printable(file), note.rule, note.found)

    def done(self, case: Case, mask: str | None = None) -> None:
        notes = self.notes.get(file_of(case), ())
        status = "accepted" if mask is None else "written"
        if any(note.corrected for _, note in notes):
            status = "corrected"
        rule = "; ".join(note.rule for _, note in notes) or None
        reason = "; ".join(note.found for _, note in notes) or None
        self._add(file=file_of(case), status=status, rule=rule, reason=reason, mask=mask)

    def doubted(self, rule: str, found: str, file: str | None = None) -> None:
        """What is odd about all cases that were not refused, taken together, or about the one of a file: `finish` logs that."""
        if file is None:
            logger.warning("%s; %s", rule, found)
        for entry in self.entries:
            if entry["status"] != "refused" and file in (None, entry["file"]):
                entry |= {
                    "rule": "; ".join(filter(None, [entry["rule"], rule])),
                    "reason": "; ".join(filter(None, [entry["reason"], found])),
                }
        self._save()

    def refused(self, case: Case, error: BaseException) -> str | None:
        """`error` or what caused it becomes the reason; the log says it at once.

        Returns the mask that the error says was written all the same: then only something beside it was refused.
        """
        error = cause_of(error)
        file, mask = file_of(case), None
        if isinstance(error, CaseError):
            rule, reason, mask = error.rule, f"{error.found}; {error.remedy}", error.mask
            if error.file != file:
                reason = f"{error.file}: {reason}"
        else:
            rule, reason = "every step must succeed", first_line(error)
        status = "refused" if mask is None else "written"
        logger.error("%s %s: %s; %s", status, printable(file), rule, printable(reason))
        self.failed = True
        self._add(file=file, status=status, rule=rule, reason=reason, mask=mask)
        return mask

    def finish(self) -> None:
        """Logs every case that has something to say, and the counts; exit code 1 if anything was refused."""
        self._save()  # also of no case
        for entry in self.entries:
            if entry["rule"]:
                level = logging.ERROR if entry["status"] == "refused" else logging.WARNING
                logger.log(
                    level, "%-9s %s: %s; %s", entry["status"], *(printable(entry[key]) for key in ("file", "rule", "reason"))
                )
        counts = Counter(entry["status"] for entry in self.entries)
        logger.info("%s; %s", ", ".join(f"{counts[status]} {status}" for status in sorted(counts)) or "no cases", self.path)
        if self.failed:
            raise SystemExit(1)

    def _add(self, **entry: Any) -> None:
        self.entries.append(entry)
        self._save()

    def _save(self) -> None:
        if idist.get_rank() == 0:
            write_json(self.path, self.entries)


def is_report(path: Path) -> bool:
    entries = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(entries, list) and all(isinstance(entry, dict) and tuple(entry) == ENTRY for entry in entries)
