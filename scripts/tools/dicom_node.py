"""Series that arrive from an archive -> masks, which go back to it as DICOM Segmentation objects."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from pydicom import dcmread
from pynetdicom import AE

from ..run.warm_bundle import start_bundle
from .dicom_inbox import SILENCE, Delivery, Inbox
from .dicom_peer import Peer

logger = logging.getLogger(__name__)

LONGEST = 3600  # seconds, for one series


class DicomNode:
    """One series after the other, each by `sam3d segment` in a process of its own: whatever ends that costs one series.

    inbox: what arrives. words: further ones of `sam3d segment`, with the checkpoint. output: gets a folder for each series.
    aet: under which objects are sent. to: who gets them.
    """

    def __init__(self, inbox: Inbox, words: Sequence[str], output: Path, aet: str, to: Peer) -> None:
        self.inbox, self.words, self.output, self.aet, self.to = inbox, words, output, aet, to
        self.ending = Event()

    def run(self) -> None:
        """Until `ending` is set."""
        while delivery := self.inbox.take(self.ending.is_set):
            self.serve(delivery)

    def serve(self, delivery: Delivery) -> None:
        """Raises nothing: what is wrong with one series is said in the log."""
        try:
            logger.info("series %s: %d files arrived", delivery.uid, len(list(delivery.folder.iterdir())))
            logger.info("series %s: %s", delivery.uid, self._segment_and_send(delivery))
        except Exception as error:
            logger.error("series %s: %s", delivery.uid, " ".join(str(error).split()))
        finally:
            shutil.rmtree(delivery.folder, ignore_errors=True)

    def segment(self, scans: Path, output: Path, *further: str) -> str:
        """-> what is in doubt, or nothing. Raises RuntimeError with the reason where there is no mask."""
        output.mkdir(parents=True, exist_ok=True)
        report, log = output / "report.json", output / "log.txt"
        for old in (report, log):
            old.unlink(missing_ok=True)
        words = ["segment", scans, *self.words, "--output", output, "--dicom-seg", *further]
        process = start_bundle(words, log, module="scripts")
        try:
            process.join(LONGEST)
        finally:
            process.kill()
            process.join()
        if process.exitcode:
            why = _reason(report) or _error(log) or f"exit code {process.exitcode}"
            raise RuntimeError(f"refused: {why} ({log})")
        return _reason(report) or ""

    def _segment_and_send(self, delivery: Delivery) -> str:
        output = self.output / delivery.folder.name
        doubt = self.segment(delivery.folder, output)
        found = output / f"{delivery.folder.name}_seg.dcm"
        if not found.is_file():
            raise RuntimeError(f"the mask has no DICOM Segmentation object; remove {output}, and send the series again")
        try:
            send(found, self.aet, self.to)
        except ConnectionError as error:
            raise ConnectionError(f"{error}; the object stays at {found}, send the series again") from error
        return f"{found} was sent to {self.to}" + (f"; in doubt: {doubt}" if doubt else "")


def send(file: Path, aet: str, to: Peer) -> None:
    """C-STORE of one object. Raises ConnectionError in words."""
    dataset = dcmread(file)
    ae = AE(ae_title=aet)
    ae.network_timeout = ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = SILENCE
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = ae.associate(to.host, to.port, ae_title=to.aet)
    if association.is_rejected:
        raise ConnectionError(f"{to} does not know {aet}, or is not called so: make them known to each other")
    if not association.is_established:
        raise ConnectionError(f"{to} does not answer, or takes no {dataset.SOPClassUID.name}")
    try:
        status = association.send_c_store(dataset).get("Status")
    except ValueError as error:
        raise ConnectionError(f"{to} takes no {dataset.SOPClassUID.name}") from error
    finally:
        association.release()
    if status is None or (status and status >> 12 != 0xB):  # Bxxx: stored, with a warning
        raise ConnectionError(f"{to} did not store it (status {'none' if status is None else f'{status:#06x}'})")


def _reason(report: Path) -> str | None:
    """Of the one case in it, or None where nothing is said of it."""
    if not report.is_file():
        return None
    for entry in json.loads(report.read_text(encoding="utf-8")):
        if entry["rule"]:
            return f"{entry['rule']}; {entry['reason']}"
    return None


def _error(log: Path) -> str | None:
    """With which a run ended that reached no case."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return next((line.removeprefix("ERROR: ") for line in reversed(lines) if line.startswith(("ERROR: ", "Error: "))), None)
