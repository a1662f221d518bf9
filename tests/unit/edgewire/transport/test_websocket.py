import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.transport.limits import TransportLimits
from edgewire.transport.pump import Owner, Peer, Session
from edgewire.transport.reports import HandshakeFailure
from edgewire.transport.websocket import (
    PlainHttp,
    Refused,
    Upgrade,
    Upgraded,
    WebSocketService,
)
from support.echo import EchoSession, RecordingOwner
from support.websocket_client import ACCEPT, request

LIMITS = TransportLimits(max_http_head_bytes=1000, max_websocket_message_bytes=70_000, max_idle_frames=10)


def nobody(_peer: Peer) -> tuple[Session[bytes], Owner[bytes]]:
    return EchoSession(), RecordingOwner()


SERVICE = WebSocketService(protocols={"mqtt": nobody, "AMQPWSB10": nobody})
SERVICE_WITH_HTTP = WebSocketService(protocols={"mqtt": nobody}, http=nobody)


def upgrade(data: bytes, service: WebSocketService = SERVICE) -> Upgraded | Refused | PlainHttp | None:
    return Upgrade(service, LIMITS).receive(data)


def upgraded(data: bytes) -> Upgraded:
    outcome = upgrade(data)
    assert isinstance(outcome, Upgraded)
    return outcome


def refused(data: bytes, service: WebSocketService = SERVICE) -> Refused:
    outcome = upgrade(data, service)
    assert isinstance(outcome, Refused)
    return outcome


# The upgrade.


def test_the_sample_of_the_rfc_is_accepted() -> None:
    outcome = upgraded(request())
    assert outcome.response.startswith(b"HTTP/1.1 101 ")
    assert ACCEPT in outcome.response
    assert (outcome.protocol, outcome.rest) == ("mqtt", b"")


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "GET /$iothub/websocket?iothub-no-client-cert=true HTTP/1.1",
        "GET /$servicebus/websocket/ HTTP/1.1",
    ],
)
def test_any_path_is_served(line: str) -> None:
    assert upgraded(request(line=line)).protocol == "mqtt"


@pytest.mark.parametrize(
    ("offered", "protocol", "echoed"),
    [
        ("mqtt", "mqtt", b"mqtt"),
        ("MQTT", "mqtt", b"MQTT"),
        ("mqttv3.1, Mqtt", "mqtt", b"Mqtt"),
        ("amqpwsb10", "AMQPWSB10", b"amqpwsb10"),
        ("AMQPWSB10, mqtt", "AMQPWSB10", b"AMQPWSB10"),
    ],
)
def test_the_first_known_subprotocol_is_taken_in_any_letter_case_and_echoed_as_written(
    offered: str, protocol: str, echoed: bytes
) -> None:
    outcome = upgraded(request(Sec_WebSocket_Protocol=offered))
    assert outcome.protocol == protocol
    assert b"Sec-WebSocket-Protocol: " + echoed + b"\r\n" in outcome.response


def test_compression_is_not_agreed_on() -> None:
    outcome = upgraded(request(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    assert b"permessage-deflate" not in outcome.response


def test_frames_behind_the_request_are_kept() -> None:
    assert upgraded(request() + b"\x82\x80").rest == b"\x82\x80"


def test_a_request_may_be_cut_anywhere() -> None:
    reader = Upgrade(SERVICE, LIMITS)
    data = request()
    outcomes = [reader.receive(data[at : at + 1]) for at in range(len(data))]
    assert outcomes[:-1] == [None] * (len(data) - 1)
    assert isinstance(outcomes[-1], Upgraded)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (request(Sec_WebSocket_Protocol="chat"), b"400", HandshakeFailure.NO_SUBPROTOCOL),
        (request(Sec_WebSocket_Protocol=None), b"400", HandshakeFailure.NO_SUBPROTOCOL),
        (request(Sec_WebSocket_Version="8"), b"426", HandshakeFailure.BAD_UPGRADE),
        (request(Sec_WebSocket_Version=None), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(Sec_WebSocket_Key=None), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(Connection="close"), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(Host=None), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(Host="\xff\xfe"), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(Sec_WebSocket_Protocol="mqtt\xe9"), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(line="POST / HTTP/1.1"), b"400", HandshakeFailure.BAD_UPGRADE),
        (request(Upgrade="h2c"), b"426", HandshakeFailure.NOT_AN_UPGRADE),
        (request(Upgrade=None), b"426", HandshakeFailure.NOT_AN_UPGRADE),
        (b"GET / HTTP/2.0\r\n\r\n", b"400", HandshakeFailure.NOT_HTTP),
        (b"HELLO\r\n\r\n", b"400", HandshakeFailure.NOT_HTTP),
        (request(X_Padding="x" * 2000), b"431", HandshakeFailure.HEAD_TOO_LARGE),
        (b"G" * 2000, b"431", HandshakeFailure.HEAD_TOO_LARGE),
    ],
)
def test_what_cannot_be_upgraded_is_answered_so_that_a_person_can_read_it(
    data: bytes, status: bytes, reason: HandshakeFailure
) -> None:
    outcome = refused(data)
    head, _, body = outcome.response.partition(b"\r\n\r\n")
    assert outcome.reason is reason
    assert head.split()[:2] == [b"HTTP/1.1", status]
    assert b"close" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.decode("ascii") == f"{outcome.detail}\n".encode("ascii", "backslashreplace").decode()
    assert len(body) > 10


def test_a_refused_subprotocol_is_told_which_there_are() -> None:
    assert b"mqtt, AMQPWSB10" in refused(request(Sec_WebSocket_Protocol="chat")).response


def test_a_wrong_version_is_told_the_right_one() -> None:
    assert b"Sec-WebSocket-Version: 13\r\n" in refused(request(Sec_WebSocket_Version="8")).response


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\x10\x10\x00\x04MQTT", b"\r\n\r\n", b"get / http/1.1"])
def test_what_is_not_http_is_not_answered(data: bytes) -> None:
    outcome = refused(data)
    assert (outcome.reason, outcome.response) == (HandshakeFailure.NOT_HTTP, b"")


def test_other_requests_go_whole_to_the_http_service_if_there_is_one() -> None:
    data = b"POST /devices/dev1/messages/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    assert upgrade(data, SERVICE_WITH_HTTP) == PlainHttp(data)


def test_with_an_http_service_the_upgrade_is_still_seen() -> None:
    assert isinstance(upgrade(request(), SERVICE_WITH_HTTP), Upgraded)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_mangled_request_is_an_outcome_and_never_an_exception(data: st.DataObject) -> None:
    mangled = bytearray(request())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(mangled) - 1))
        mangled[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if mangled:
        assert isinstance(upgrade(bytes(mangled)), Upgraded | Refused | None)
