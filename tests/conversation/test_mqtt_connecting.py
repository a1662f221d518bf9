"""How connections begin: versions, refusals, bridges, packets sent too early, and how long we wait."""

import pytest

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.packets import Connack, Connect, Disconnect, Pingreq, Pingresp, Publish, Will
from edgewire.codec.mqtt.properties import ConnackProperties, ConnectProperties
from edgewire.errors import ProtocolError
from edgewire.session.mqtt.events import ConnectReceived, Disconnected
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.server import Refusal
from support.mqtt_link import Link
from support.mqtt_vectors import wire

ONLY_311 = ServerLimits(levels=frozenset({4}), bridge_bit=False)
WILL = Will(topic="devices/dev/messages/events/", payload=b"gone", qos=1, retain=False)


@pytest.mark.parametrize("level", [3, 4, 5])
def test_a_client_asks_and_is_let_in(level: int) -> None:
    link = Link(level)
    [asked] = link.connect("dev", keep_alive_s=30)
    assert isinstance(asked, ConnectReceived)
    assert (asked.client_id, asked.username, asked.password) == ("dev", "user", b"secret")
    assert (asked.level, asked.bridge, asked.clean_start, asked.keep_alive_s) == (level, False, True, 30)
    assert asked.session_expiry_s == (0 if level == 5 else None)
    assert link.inbox() == []
    link.session.accept(session_present=False)
    [connack] = link.inbox()
    assert isinstance(connack, Connack)
    assert connack.code == 0
    assert link.session.level == level


@pytest.mark.parametrize(("level", "wire_bytes"), [(3, "20020005"), (4, "20020005"), (5, "2003008700")])
def test_a_client_that_is_refused_hears_why(level: int, wire_bytes: str) -> None:
    link = Link(level)
    link.connect(will=WILL)
    link.session.refuse(Refusal.NOT_AUTHORIZED)
    assert link.session.take_output().hex() == wire_bytes
    assert link.session.dead
    assert link.drop() is None  # a refused client has no will


def test_what_comes_behind_a_refused_connect_is_dropped() -> None:
    link = Link()
    link.connect()
    assert link.publish(packet_id=1) == []
    link.session.refuse(Refusal.BAD_CREDENTIALS)
    assert link.advance(60) == []
    assert link.publish(packet_id=2) == []


def test_what_comes_behind_a_connect_in_one_read_waits_for_its_answer() -> None:
    link = Link()
    connect = Connect(client_id="dev", level=4, clean_start=True, keep_alive_s=60)
    first = Publish("t", b"1", 1, False, False, 1)
    second = Publish("t", b"2", 1, False, False, 2)
    [asked] = link.send(connect, first)
    assert isinstance(asked, ConnectReceived)
    assert link.send(second) == []
    assert link.session.deadline() is None
    link.session.accept(session_present=False)
    assert link.session.deadline() == link.now
    assert link.advance(0) == [first, second]
    assert link.session.deadline() == link.now + 90


def test_what_comes_after_the_answer_does_not_overtake_what_waited() -> None:
    link = Link()
    packets = [Publish("t", bytes((n,)), 1, False, False, n) for n in (1, 2, 3)]
    link.connect()
    link.send(packets[0])
    link.session.accept(session_present=False)
    assert link.send(*packets[1:]) == packets


def test_a_connect_may_come_one_byte_at_a_time() -> None:
    link = Link(5)
    data = v5.write(Connect(client_id="dev", level=5, clean_start=True, keep_alive_s=60))
    events = [event for byte in data for event in link.transfer(bytes((byte,)))]
    assert [type(event) for event in events] == [ConnectReceived]


def test_a_silent_peer_is_cut_without_a_word() -> None:
    link = Link()
    link.transfer(b"\x10")
    assert link.advance(9.9) == []
    [event] = link.advance(0.1)
    assert event == Disconnected(clean=False, reason=0x8D)
    assert link.session.dead
    assert link.session.take_output() == b""


def test_half_a_connect_does_not_buy_more_time() -> None:
    link = Link()
    data = v3.write(Connect(client_id="dev", level=4, clean_start=True, keep_alive_s=60))
    for byte in data[:9]:
        link.advance(1)
        link.transfer(bytes((byte,)))
    assert link.advance(1) == [Disconnected(clean=False, reason=0x8D)]


def test_a_connect_of_243_megabytes_is_refused_from_its_header() -> None:
    link = Link()
    with pytest.raises(ProtocolError):
        link.transfer(bytes.fromhex("10 80808074"))


@pytest.mark.parametrize(
    "first", ["C000", "300301 0174", "160301", "474554202F", "E000", "8206 0001 0001 61 00", "F000"]
)
def test_anything_else_first_is_refused_without_a_word(first: str) -> None:
    link = Link(5)
    with pytest.raises(ProtocolError):
        link.transfer(bytes.fromhex(first))
    assert link.session.take_output() == b""
    assert link.session.dead


@pytest.mark.parametrize("level", [3, 4, 5])
def test_a_second_connect_ends_the_connection(level: int) -> None:
    link = Link(level)
    link.open(will=WILL)
    with pytest.raises(ProtocolError, match="second CONNECT"):
        link.connect("somebody else")
    assert [type(packet) for packet in link.inbox()] == ([Disconnect] if level == 5 else [])
    due = link.drop()
    assert due is not None
    assert due.payload == WILL.payload


@pytest.mark.parametrize(
    ("limits", "body", "answer"),
    [
        (ONLY_311, "0004 'MQTT' 05 02 003C 00 0001 'a'", "20020001"),
        (ONLY_311, "0004 'MQTT' 84 02 003C 0001 'a'", "20020001"),
        (ONLY_311, "0006 'MQIsdp' 03 02 003C 0001 'a'", "20020001"),
        (ServerLimits(), "0004 'MQTT' 06 whatever", "2003008400"),
        (ServerLimits(), "0004 'MQTT' 02 02 003C 0001 'a'", "20020001"),
        (ServerLimits(), "0006 'MQIsdp' 04 02 003C 0001 'a'", "20020001"),
        (ServerLimits(), "0004 'HTTP' 04 02 003C 0001 'a'", ""),
    ],
)
def test_a_version_that_we_do_not_take_is_refused_in_its_own_words(
    limits: ServerLimits, body: str, answer: str
) -> None:
    link = Link(5, limits)
    data = wire(body.replace("whatever", "FFFFFFFF"))
    with pytest.raises(ProtocolError):
        link.transfer(bytes((0x10, len(data))) + data)
    assert link.session.take_output().hex() == answer


def test_a_bridge_is_known_as_one_and_let_in() -> None:
    for level in (3, 4):
        link = Link(level)
        [asked] = link.connect(bridge=True, clean_start=False)
        assert isinstance(asked, ConnectReceived)
        assert (asked.level, asked.bridge) == (level, True)
        link.session.accept(session_present=False)
        assert len(link.inbox()) == 1


def test_mqtt_3_without_an_identifier_or_a_clean_session_is_rejected_by_return_code() -> None:
    link = Link(4)
    with pytest.raises(ProtocolError):
        link.connect("", clean_start=False)
    assert link.session.take_output() == bytes.fromhex("20020002")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("0004 'MQTT' 05 03 003C 00 0001 'a'", 0x81),
        ("0004 'MQTT' 05 02 003C 03 21 0000 0001 'a'", 0x82),
        ("0004 'MQTT' 05 02 003C 04 15 0001 'm' 0001 'a'", 0x8C),
        ("0004 'MQTT' 05 16 003C 00 0001 'a' 00 0001 't' 0000", 0x9B),
        ("0004 'MQTT' 05 02 003C 05 27 0000000A 0001 'a'", 0x95),
    ],
)
def test_a_wrong_connect_of_mqtt_5_is_answered_with_a_reason(body: str, code: int) -> None:
    link = Link(5)
    data = wire(body)
    with pytest.raises(ProtocolError):
        link.transfer(bytes((0x10, len(data))) + data)
    [connack] = link.inbox()
    assert isinstance(connack, Connack)
    assert connack.code == code


def test_a_wrong_connect_of_mqtt_3_is_not_answered() -> None:
    link = Link(4)
    data = wire("0004 'MQTT' 04 03 003C 0001 'a'")
    with pytest.raises(ProtocolError):
        link.transfer(bytes((0x10, len(data))) + data)
    assert link.session.take_output() == b""


def test_mqtt_5_is_told_our_limits() -> None:
    link = Link(5)
    connack = link.open(properties=ConnectProperties(session_expiry_s=0xFFFFFFFF))
    assert connack == Connack(
        session_present=False,
        code=0,
        properties=ConnackProperties(
            session_expiry_s=172_800,
            receive_maximum=1_000,
            maximum_qos=1,
            maximum_packet_size=327_696,
            topic_alias_maximum=10,
            subscription_identifiers_available=False,
            shared_subscription_available=False,
        ),
    )


def test_mqtt_5_without_an_identifier_is_given_one() -> None:
    link = Link(5)
    link.connect("", keep_alive_s=0)
    link.session.accept(session_present=False, assigned_client_id="given")
    [connack] = link.inbox()
    assert isinstance(connack, Connack)
    assert connack.properties is not None
    assert connack.properties.assigned_client_id == "given"
    assert connack.properties.server_keep_alive_s == 1_178


def test_a_session_that_is_there_is_said_to_be() -> None:
    link = Link(4)
    link.connect(clean_start=False)
    link.session.accept(session_present=True)
    assert link.inbox() == [Connack(session_present=True, code=0)]


def test_a_client_that_never_hears_an_answer_may_ping_all_the_same() -> None:
    link = Link(4)
    link.connect()
    assert link.send(Pingreq()) == []
    assert link.inbox() == []
    link.session.accept(session_present=False)
    assert link.advance(0) == []
    assert link.inbox() == [Connack(session_present=False, code=0), Pingresp()]
