"""Writes report.html at the end of a run."""

import base64
import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...files.atomic_write import atomic_write
from ...files.own_file import refuse_foreign
from ..case_metrics import CaseMetrics
from ..ras_volume import OpenImage
from .page_content import CaseEntries, page_content

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
MARK = '<meta name="generator" content="SAM-3D, a MONAI bundle">'
BEGINNING = 400  # bytes of a page, within which its mark stands


class ReportPage:
    """One page on a whole run, which opens from disk and asks no network: what was run, with what, and what came of it.

    Args:
        path: of the page; other pages there are not overwritten.
        report: has an entry for each case, see `data.CaseReport`.
        labels: value in masks -> name; the first is background.
        open_image: opens images and masks again, for the pictures.
        open_reference: opens references, with the values that masks have; None: as `open_image` does.
        metrics: of an evaluation; of a segmentation None.
        checkpoint: the network's, or the list of an ensemble's; beside it the training run has its curves and its calibration.
        arguments: the words of the command.
        notes: further sentences for the reader.

    Raises:
        FileExistsError: for a page there that this bundle did not write.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import CaseReport, open_image
        >>> from scripts.data.phantoms import LABELS, write_phantoms
        >>> from scripts.evaluation import ReportPage
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"test": 1}, shape=(16, 14, 8))
        ...     image, mask = (f"{folder}/{kind}/phantom_000.nii.gz" for kind in ("images", "labels"))
        ...     report = CaseReport(folder)
        ...     report.done({"image": image}, mask=mask)
        ...     page = ReportPage(Path(folder) / "report.html", report, LABELS, open_image)
        ...     page.write()
        ...     (Path(folder) / "report.html").read_text().startswith("<!doctype html>")
        True
    """

    def __init__(
        self,
        path: str | Path,
        report: CaseEntries,
        labels: Mapping[str, str],
        open_image: OpenImage,
        open_reference: OpenImage | None = None,
        metrics: CaseMetrics | None = None,
        checkpoint: str | Path | Sequence[str] = (),
        arguments: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.path = Path(path)
        self.report = report
        self.labels = {int(value): name for value, name in labels.items()}
        self.open_image = open_image
        self.open_reference = open_reference
        self.metrics = metrics
        self.checkpoint = checkpoint
        self.arguments = list(arguments)
        self.notes = list(notes)
        refuse_foreign(self.path, is_page)

    def clear(self) -> None:
        """Removes the page of an earlier run, so that it never stands beside a run that fails."""
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Draws the page. Where that fails a warning says so: masks and tables are worth more than their picture."""
        try:
            content = page_content(
                self.path.parent,
                self.report.entries,
                self.labels,
                self.open_image,
                self.open_reference,
                self.metrics,
                self.checkpoint,
                self.arguments,
            )
            page = render({**content, "notes": self.notes})
            with atomic_write(self.path) as temporary:
                temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
        except Exception as error:
            logger.warning("%s was not drawn, masks and tables are whole: %s: %s", self.path, type(error).__name__, error)
        else:
            logger.info("%s", self.path)


def is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(BEGINNING)


def render(content: Mapping[str, Any]) -> str:
    """The page. Whatever a user named is escaped, and its only script is named by its hash, so that no other runs."""
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": number, "percent": lambda share: f"{share:.1%}"}
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        **content,
        mark=Markup(MARK),  # noqa: S704
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def number(value: Any) -> str:
    """For people: three or four digits."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "–"  # noqa: RUF001
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
