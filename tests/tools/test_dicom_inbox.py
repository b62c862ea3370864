"""What arrives over the network: whole series alone are handed on, nothing that is sent becomes a path, and all is bounded."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from dicom_phantom import write_series
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from scripts.tools import dicom_inbox
from scripts.tools.dicom_inbox import FAILURE, NO_MATCH, NO_RESOURCES, SUCCESS, Delivery, Inbox

pytestmark = pytest.mark.filterwarnings("ignore:.*UI")  # pydicom, of UIDs that are none


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "incoming", "SAM3D", ["PACS"], quiet=0)


@pytest.fixture
def connect(inbox: Inbox) -> Iterator[Callable[..., Association]]:
    with inbox.listening("127.0.0.1", 0) as port:

        def connect(calling: str = "PACS", called: str = "SAM3D", syntax: str = ExplicitVRLittleEndian) -> Association:
            ae = AE(ae_title=calling)
            ae.add_requested_context(CTImageStorage, syntax)
            return ae.associate("127.0.0.1", port, ae_title=called)

        yield connect


@pytest.fixture
def slices(tmp_path: Path) -> list[Dataset]:
    return [dcmread(file) for file in write_series(tmp_path / "series")]


def status(association: Association, dataset: Dataset) -> int | None:
    return association.send_c_store(dataset).get("Status")


def taken(inbox: Inbox, tries: int = 1) -> Delivery | None:
    """What is there without waiting for more."""
    answers = iter([False] * tries)
    return inbox.take(lambda: next(answers, True))


def until_over(association: Association, inbox: Inbox) -> None:
    """The other side learns of it a moment later."""
    association.join()
    with inbox.changed:
        assert inbox.changed.wait_for(lambda: not any(delivery.open for delivery in inbox.deliveries.values()), timeout=30)


def test_a_series_is_handed_on_with_the_end_of_its_association(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset]
) -> None:
    association = connect()
    for image in [*slices, slices[0]]:  # one of them twice
        assert status(association, image) == SUCCESS
    assert taken(inbox) is None
    association.release()
    delivery = inbox.take(lambda: False)
    assert delivery is not None
    assert delivery.uid == slices[0].SeriesInstanceUID
    arrived = [dcmread(file) for file in delivery.folder.iterdir()]
    assert sorted(image.SOPInstanceUID for image in arrived) == sorted(image.SOPInstanceUID for image in slices)
    assert {image.PixelData for image in arrived} == {image.PixelData for image in slices}


def test_it_waits_until_nothing_more_of_the_series_comes(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset]
) -> None:
    inbox.quiet = 1e9
    for image in slices:  # each in an association of its own, as some archives send
        association = connect()
        status(association, image)
        association.release()
        until_over(association, inbox)
        assert taken(inbox) is None
    inbox.quiet = 0
    delivery = taken(inbox)
    assert delivery is not None
    assert len(list(delivery.folder.iterdir())) == len(slices)


def test_a_series_of_which_the_connection_was_lost_waits_until_it_is_sent_again(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    lost = connect()
    status(lost, slices[0])
    lost.abort()
    until_over(lost, inbox)
    assert taken(inbox) is None
    assert f"series {slices[0].SeriesInstanceUID} did not arrive whole: send it again" in caplog.text
    again = connect()
    for image in slices[1:]:
        status(again, image)
    again.release()
    delivery = inbox.take(lambda: False)
    assert delivery is not None
    assert len(list(delivery.folder.iterdir())) == len(slices)


@pytest.mark.parametrize(("calling", "called"), [("ANOTHER", "SAM3D"), ("PACS", "ANOTHER")])
def test_who_is_not_known_is_refused(
    connect: Callable[..., Association], caplog: pytest.LogCaptureFixture, calling: str, called: str
) -> None:
    assert connect(calling, called).is_rejected
    assert f"refused a connection of {calling} at 127.0.0.1" in caplog.text


@pytest.mark.parametrize("uid", ["../../../pwned", "1.2/3", "", "1." * 40 + "1", "1.2.$(touch pwned)"])
@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "SOPInstanceUID"])
def test_a_uid_that_is_none_is_refused_and_becomes_no_path(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset], tmp_path: Path, keyword: str, uid: str
) -> None:
    before = set(tmp_path.rglob("*"))
    association = connect()
    image = slices[0]
    named = image.SOPInstanceUID
    image[keyword]._value = uid
    if keyword == "SOPInstanceUID":  # the command has another than the object
        image.file_meta.MediaStorageSOPInstanceUID = named
    assert association.is_established
    assert status_of_raw(association, image, named) == NO_MATCH
    association.release()
    assert set(tmp_path.rglob("*")) == before
    assert taken(inbox) is None


def status_of_raw(association: Association, dataset: Dataset, instance: str) -> int | None:
    """As `status`, with a command that does not repeat what the object says of itself."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, instance
    encoded = encode(dataset, False, True)
    assert encoded is not None
    request.DataSet = BytesIO(encoded)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return answer.Status if answer else None


def test_a_full_disk_is_an_answer_and_the_series_waits(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    association = connect()
    status(association, slices[0])
    monkeypatch.setattr(dicom_inbox, "LEFT_FREE", 1 << 60)
    assert status(association, slices[1]) == NO_RESOURCES
    association.release()
    until_over(association, inbox)
    assert taken(inbox) is None


def test_a_disk_that_fails_is_an_answer(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, data: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "write_bytes", fails)
    association = connect()
    assert status(association, slices[0]) == FAILURE
    association.release()
    until_over(association, inbox)
    assert taken(inbox) is None


def test_an_image_without_end_is_cut_off(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_inbox, "MOST_OF_AN_IMAGE", 1 << 20)
    association = connect()
    status(association, slices[0])
    slices[1].PixelData = bytes(1 << 21)
    assert status(association, slices[1]) is None
    until_over(association, inbox)
    assert taken(inbox) is None


@pytest.mark.parametrize("kind", [0x01, 0x04])
def test_a_message_that_claims_4_gb_is_cut_off_before_it_is_read(inbox: Inbox, kind: int) -> None:
    with inbox.listening("127.0.0.1", 0) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(30)
        connection.sendall(struct.pack(">BBL", kind, 0, 0xFFFFFFFF) + bytes(100))
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


NO_DICOM = [b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\x01\0\0\0\0\x08garbage!", b"\x04\0\0\0\0\x04\xff\xff\xff\xff"]


@pytest.mark.parametrize("data", NO_DICOM)
def test_what_is_no_dicom_ends_its_connection_alone(
    inbox: Inbox, connect: Callable[..., Association], slices: list[Dataset], data: bytes
) -> None:
    port = inbox.ae._servers[0].server_address[1]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(data)
    association = connect()
    assert status(association, slices[0]) == SUCCESS
    association.release()
    assert inbox.take(lambda: False) is not None


def test_other_objects_and_deflated_ones_are_not_agreed_on(connect: Callable[..., Association]) -> None:
    assert not connect(syntax="1.2.840.10008.1.2.1.99").is_established
    assert connect(syntax=JPEGLSLossless).is_established


def test_a_new_inbox_forgets_what_an_earlier_one_left(inbox: Inbox, tmp_path: Path) -> None:
    left = inbox.arriving / "abc" / "x.dcm"
    left.parent.mkdir()
    left.write_bytes(b"")
    Inbox(tmp_path / "incoming", "SAM3D", ["PACS"], quiet=0)
    assert not left.exists()


def test_an_address_that_is_taken_is_said(inbox: Inbox, tmp_path: Path) -> None:
    other = Inbox(tmp_path / "other", "SAM3D", ["PACS"], quiet=0)
    with (
        inbox.listening("127.0.0.1", 0) as port,
        pytest.raises(ValueError, match=rf"cannot listen at 127\.0\.0\.1:{port} \(Addr"),
    ):
        other.listening("127.0.0.1", port).__enter__()
