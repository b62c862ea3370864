"""DICOM associations -> a folder for each series that has arrived whole (a Storage SCP).

Nothing that the network says becomes a path, and whatever it sends is bounded: one PDU, one image, open associations, the disk.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Condition
from time import monotonic

from pydicom import dcmread, uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import Verification  # pyright: ignore[reportAttributeAccessIssue]

logger = logging.getLogger(__name__)
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # of broken messages it shows the traceback

CLASSES = (
    *(uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage),
    *(uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage),
    *(uid.PositronEmissionTomographyImageStorage, uid.EnhancedPETImageStorage),
    *(uid.LegacyConvertedEnhancedPETImageStorage, uid.NuclearMedicineImageStorage),
)
SYNTAXES = (  # in which they may come; a deflated one could hold a thousand times its size
    *(uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.RLELossless),
    *(uid.JPEGLosslessSV1, uid.JPEGLossless, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit),
    *(uid.JPEGLSLossless, uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000),
)
ANNOUNCED_PDU, MOST_OF_A_PDU = 1 << 18, 1 << 20  # bytes; the second is where a peer that ignores the first is cut off
MOST_OF_AN_IMAGE = 1 << 30  # bytes, of a multi-frame file of 2000 frames
MOST_ASSOCIATIONS = 4
LEFT_FREE = 2 << 30  # bytes of the disk
SILENCE = 60  # seconds after which a connection is given up
SUCCESS, NO_RESOURCES, NO_MATCH, FAILURE = 0x0000, 0xA700, 0xA900, 0xC000  # status of a C-STORE: DICOM PS3.4 table B.2-1


@dataclass
class Delivery:
    """A series on its way in. folder: of its files; uid: the series'.

    open: the associations that bring it, and whether something had been lost before they began. lost: an association ended
        early, or one of its images was not taken; what begins afterwards, and ends in order, brings the rest. since: when the
        last association ended.
    """

    folder: Path
    uid: str
    open: dict[Association, bool] = field(default_factory=dict)
    lost: bool = False
    since: float = 0.0


class Inbox:
    """folder: emptied at the start. quiet: seconds without a new image after which a series is taken to be whole."""

    def __init__(self, folder: Path, aet: str, senders: Sequence[str], quiet: float) -> None:
        self.folder, self.arriving, self.taken = folder, folder / "arriving", folder / "taken"
        self.quiet = quiet
        self.deliveries: dict[str, Delivery] = {}
        self.refusing: set[Association] = set()  # those of which an image was not taken
        self.received: Counter[Association] = Counter()  # bytes since its last image
        self.changed = Condition()
        shutil.rmtree(folder, ignore_errors=True)
        for part in (self.arriving, self.taken):
            part.mkdir(parents=True)
        self.ae = AE(ae_title=aet)
        self.ae.require_called_aet, self.ae.require_calling_aet = True, list(senders)
        self.ae.maximum_associations, self.ae.maximum_pdu_size = MOST_ASSOCIATIONS, ANNOUNCED_PDU
        self.ae.network_timeout = self.ae.acse_timeout = self.ae.dimse_timeout = SILENCE
        self.ae.add_supported_context(Verification)
        for kind in CLASSES:
            self.ae.add_supported_context(kind, list(SYNTAXES))

    @contextmanager
    def listening(self, host: str, port: int) -> Iterator[int]:
        """Yields the port, of 0 the one that was free. What has not been taken at the end is removed: patients' data."""
        handlers: list[EventHandlerType] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, lambda event: self._ended(event.assoc, event.assoc not in self.refusing)),
            (evt.EVT_ABORTED, lambda event: self._ended(event.assoc, False)),
            (evt.EVT_CONN_CLOSE, lambda event: self._ended(event.assoc, False)),
        ]
        try:
            server = self.ae.start_server((host, port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise ValueError(f"cannot listen at {host}:{port} ({error.strerror}); choose another --host or --port") from error
        assert server is not None
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, ending: Callable[[], bool]) -> Delivery | None:
        """Waits for a series that is whole; its folder is the caller's, and what still comes begins another. None: ending."""
        with self.changed:
            while not ending():
                for key, delivery in self.deliveries.items():
                    if not delivery.open and not delivery.lost and monotonic() - delivery.since >= self.quiet:
                        del self.deliveries[key]
                        return self._moved(delivery)
                self.changed.wait(0.2)
        return None

    def _moved(self, delivery: Delivery) -> Delivery:
        delivery.folder = delivery.folder.rename(self.taken / delivery.folder.name)
        return delivery

    def _opened(self, event: Event) -> None:
        """A PDU says itself how long it is, and pynetdicom would read it whole."""
        connection = event.assoc.dul.socket
        assert connection is not None
        read = connection.recv

        def bounded(nr_bytes: int) -> bytearray:
            self.received[event.assoc] += nr_bytes
            if nr_bytes > MOST_OF_A_PDU or self.received[event.assoc] > MOST_OF_AN_IMAGE:
                logger.error("%s sends more than an image may have: its connection is closed", _sender(event))
                raise OSError("too long")
            return read(nr_bytes)

        connection.recv = bounded

    def _rejected(self, event: Event) -> None:
        logger.warning("refused a connection of %s: it is not one of --from, or calls us by another name", _sender(event))

    def _store(self, event: Event) -> int:
        try:
            status = self._stored(event)
        except Exception as error:  # whatever the bytes trigger, or the disk
            logger.error("an image of %s was not taken: %s", _sender(event), " ".join(str(error).split()))
            status = FAILURE
        if status != SUCCESS:
            self.refusing.add(event.assoc)
        self.received[event.assoc] = 0
        return status

    def _stored(self, event: Event) -> int:
        data = event.encoded_dataset()
        header = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SOPInstanceUID"])
        series, image = (str(header.get(keyword) or "") for keyword in ("SeriesInstanceUID", "SOPInstanceUID"))
        if not (uid.UID(series).is_valid and uid.UID(image).is_valid):
            logger.error("an image of %s was not taken: it has no valid SeriesInstanceUID and SOPInstanceUID", _sender(event))
            return NO_MATCH
        if shutil.disk_usage(self.arriving).free < LEFT_FREE + len(data):
            logger.error("an image of %s was not taken: the disk is full", _sender(event))
            return NO_RESOURCES
        with self.changed:
            folder = self.arriving / _name(series)
            delivery = self.deliveries.setdefault(folder.name, Delivery(folder, series))
            delivery.open.setdefault(event.assoc, delivery.lost)
            folder.mkdir(exist_ok=True)
            (folder / f"{_name(image)}.dcm").write_bytes(data)  # sent again it replaces itself
        return SUCCESS

    def _ended(self, association: Association, in_order: bool) -> None:
        """Of a connection that is closed after its release, the release counts."""
        with self.changed:
            for delivery in self.deliveries.values():
                if association not in delivery.open:
                    continue
                brings_the_rest = delivery.open.pop(association)
                delivery.since = monotonic()
                if not in_order:
                    logger.error("series %s did not arrive whole: send it again", delivery.uid)
                    delivery.lost = True
                elif brings_the_rest:
                    delivery.lost = False
            self.refusing.discard(association)
            self.received.pop(association, None)
            self.changed.notify_all()


def _name(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _sender(event: Event) -> str:
    requestor = event.assoc.requestor
    title = requestor.primitive.calling_ae_title if requestor.primitive else "?"
    return f"{''.join(c if c.isprintable() else '?' for c in title.strip())} at {requestor.address}"
