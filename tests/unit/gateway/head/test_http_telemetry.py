import pytest

from edgewire.iothub.bag import Bag
from edgewire.iothub.http.batch import CONTENT_TYPE, Content, write_batch
from edgewire.message import identity
from edgewire.session.http.events import Headers, RequestReceived
from gateway.head.http_telemetry import RefusedTelemetryError, read_messages
from gateway.observe.head import RefusedMessage

D1 = identity("d1")


def request(body: bytes, *headers: tuple[str, str]) -> RequestReceived:
    return RequestReceived(method="POST", path="/", query="", headers=Headers(headers), body=body)


def test_one_message_has_its_properties_and_its_senders_name() -> None:
    [message] = read_messages(D1, request(b"{}", ("iothub-app-a", "1"), ("iothub-contenttype", "application/json")))
    assert message.body == b"{}"
    assert message.envelope.sender == D1
    assert message.envelope.properties == {"a": "1"}
    assert message.envelope.system == {"contentType": "application/json", "connectionDeviceId": "d1"}


def test_a_batch_is_its_messages() -> None:
    body = write_batch([Content(Bag({"a": "1"}, {}), b"one"), Content(Bag({}, {}), b"two")])
    messages = read_messages(D1, request(body, ("Content-Type", CONTENT_TYPE)))
    assert [message.body for message in messages] == [b"one", b"two"]
    assert messages[0].envelope.properties == {"a": "1"}


@pytest.mark.parametrize(
    ("what", "reason", "status"),
    [
        (request(b"", ("iothub-app-a", "\xe9")), RefusedMessage.MALFORMED_PROPERTIES, 400),
        (request(b"[]", ("Content-Type", CONTENT_TYPE)), RefusedMessage.MALFORMED_MESSAGE, 400),
        (request(b"", ("Content-Type", "a"), ("content-type", "b")), RefusedMessage.MALFORMED_PROPERTIES, 400),
        (
            request(write_batch([Content(Bag({}, {}), b"")] * 501), ("Content-Type", CONTENT_TYPE)),
            RefusedMessage.TOO_LARGE,
            413,
        ),
        (request(bytes(262_144)), RefusedMessage.TOO_LARGE, 413),
        (
            request(b"", *((f"iothub-app-{number}", "{" * 200) for number in range(120))),
            RefusedMessage.TOO_LARGE,
            413,
        ),
    ],
)
def test_what_cannot_be_taken_is_refused(what: RequestReceived, reason: RefusedMessage, status: int) -> None:
    with pytest.raises(RefusedTelemetryError) as refused:
        read_messages(D1, what)
    assert (refused.value.reason, refused.value.status) == (reason, status)
