"""What happens on an open connection, and how it ends: keep-alive, wills, flow control, aliases, broken rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.packets import (
    Disconnect,
    Packet,
    Pingreq,
    Publish,
    Subscribe,
    SubscribeFilter,
    Unsubscribe,
    Will,
)
from edgewire.codec.mqtt.properties import (
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    WillProperties,
)
from edgewire.errors import ProtocolError
from edgewire.session.mqtt.events import Disconnected, ServerEvent, SubscribeReceived, UnsubscribeReceived
from edgewire.session.mqtt.limits import ServerLimits
from support import mqtt_packets
from support.mqtt_link import Link
from support.mqtt_reading import write_one

WILL = Will(topic="devices/dev/messages/events/", payload=b"gone", qos=1, retain=False)
WILL_5 = Will(topic="t", payload=b"gone", qos=1, retain=False, properties=WillProperties(will_delay_s=30))
BOTH = pytest.mark.parametrize("level", [4, 5])


def will_of(level: int) -> Will:
    return WILL if level == 4 else Will(topic="t", payload=b"", qos=0, retain=True, properties=WillProperties())


def message(topic: str = "t", *, packet_id: int = 1, alias: int | None = None, payload: bytes = b"x") -> Publish:
    return Publish(topic, payload, 1, False, False, packet_id, PublishProperties(topic_alias=alias))


def refused(link: Link, *packets: Packet) -> int:
    """The reason of the DISCONNECT that a broken rule ends in."""
    with pytest.raises(ProtocolError):
        link.send(*packets)
    [goodbye] = link.inbox()
    assert isinstance(goodbye, Disconnect)
    assert link.session.dead
    return goodbye.reason


# Keep-alive.


@BOTH
def test_a_client_that_falls_silent_is_cut_after_one_and_a_half_keep_alives(level: int) -> None:
    link = Link(level)
    will = will_of(level)
    link.open(will=will)
    assert link.advance(80) == []
    link.send(Pingreq())
    assert link.advance(89.9) == []
    [event] = link.advance(0.2)
    assert event == Disconnected(clean=False, reason=0x8D, will=will)
    assert link.drop() is None  # the event has given it
    assert bytes.fromhex("e0018d" if level == 5 else "") in link.session.take_output()


def test_a_client_without_a_keep_alive_is_cut_at_the_ceiling() -> None:
    link = Link(4, ServerLimits(keep_alive_ceiling_s=600))
    link.connect(keep_alive_s=0)
    link.session.accept(session_present=False)
    assert link.advance(599) == []
    assert len(link.advance(1)) == 1


def test_a_packet_that_never_ends_is_no_sign_of_life() -> None:
    link = Link(4)
    link.open()
    wire = v3.write(message(payload=bytes(200)))
    for byte in wire[:89]:
        link.advance(1)
        link.transfer(bytes((byte,)))
    assert len(link.advance(1)) == 1


def test_a_large_packet_over_a_slow_line_is_a_sign_of_life_while_it_comes() -> None:
    """256 KiB at 1 KiB/s take four times as long as this client's silence may: it cannot send a ping in between."""
    link = Link(4)
    link.open()
    for number in range(2):  # what is counted begins anew with each packet
        wire = v3.write(message(payload=bytes(262_000 if number == 0 else 100_000)))
        found = []
        for at in range(0, len(wire), 1_024):
            assert link.advance(1) == []
            found += link.transfer(wire[at : at + 1_024])
        assert len(found) == 1
    assert link.advance(89.9) == []
    assert len(link.advance(0.2)) == 1


# The end, and the will.


@BOTH
def test_a_client_that_says_goodbye_has_no_will(level: int) -> None:
    link = Link(level)
    link.open(will=will_of(level))
    assert link.send(Disconnect()) == [Disconnected(clean=True, reason=0)]
    assert link.session.dead
    assert link.drop() is None


@BOTH
def test_a_connection_that_breaks_leaves_a_will(level: int) -> None:
    link = Link(level)
    link.open(will=will_of(level))
    assert link.drop() == will_of(level)
    assert link.drop() is None


def test_what_comes_behind_a_goodbye_is_not_read() -> None:
    link = Link(4)
    link.open()
    assert [type(event) for event in link.send(message(), Disconnect(), message(packet_id=2))] == [
        Publish,
        Disconnected,
    ]


def test_a_client_may_ask_for_its_will_as_it_goes() -> None:
    link = Link(5)
    link.open(will=WILL_5, properties=ConnectProperties(session_expiry_s=60))
    [event] = link.send(Disconnect(0x04, DisconnectProperties(session_expiry_s=10)))
    assert event == Disconnected(clean=False, reason=4, will=WILL_5, session_expiry_s=10)


def test_a_will_that_may_wait_does_not_outlast_its_session() -> None:
    link = Link(5)
    link.open(will=WILL_5)
    due = link.drop()
    assert due is not None
    assert due.delay_s == 0


def test_a_session_without_a_life_cannot_be_given_one_at_the_end() -> None:
    link = Link(5)
    link.open(will=WILL_5)
    assert refused(link, Disconnect(0, DisconnectProperties(session_expiry_s=10))) == 0x82
    assert link.drop() is not None


def test_a_client_cannot_say_what_only_servers_say() -> None:
    link = Link(5)
    link.open()
    assert refused(link, Disconnect(0x8B)) == 0x82


# Messages.


def test_qos_2_ends_the_connection_as_in_iot_hub() -> None:
    link = Link(4)
    link.open(will=WILL)
    with pytest.raises(ProtocolError, match="QoS 2"):
        link.publish(qos=2)
    assert link.session.take_output() == b""
    assert link.drop() == WILL
    told = Link(5)
    told.open()
    assert refused(told, Publish("t", b"", 2, False, False, 1)) == 0x9B


def test_marks_of_a_message_are_passed_on() -> None:
    link = Link(4)
    link.open()
    [event] = link.send(Publish("t", b"x", 1, True, True, 7))
    assert isinstance(event, Publish)
    assert (event.retain, event.dup) == (True, True)


def test_a_packet_over_our_limit_ends_the_connection_before_its_body_has_come() -> None:
    link = Link(5)
    link.open()
    with pytest.raises(ProtocolError):
        link.transfer(bytes.fromhex("30 ffffff7f"))
    [goodbye] = link.inbox()
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason == 0x95


def test_the_largest_message_of_iot_hub_passes() -> None:
    link = Link(4)
    link.open()
    data = v3.write(Publish("t" * 65_535, bytes(262_144), 1, False, False, 1))
    events: list[ServerEvent] = []
    for at in range(0, len(data), 1_400):
        events += link.transfer(data[at : at + 1_400])
    [event] = events
    assert isinstance(event, Publish)
    assert len(event.payload) == 262_144


def test_one_message_more_than_the_receive_maximum_ends_the_connection() -> None:
    link = Link(5, ServerLimits(receive_maximum=3))
    link.open()
    assert len(link.send(*[message(packet_id=n) for n in (1, 2, 3)])) == 3
    link.session.acknowledge(2)
    link.inbox()
    assert len(link.send(message(packet_id=4))) == 1
    assert refused(link, message(packet_id=5)) == 0x93


def test_messages_without_an_answer_do_not_count_against_the_receive_maximum() -> None:
    link = Link(5, ServerLimits(receive_maximum=1))
    link.open()
    assert len(link.send(*[Publish("t", b"", 0, False, False, 0) for _ in range(10)])) == 10


def test_a_topic_alias_stands_for_its_topic() -> None:
    link = Link(5)
    link.open()
    events = link.send(
        message("a/b", packet_id=1, alias=10), message("", packet_id=2, alias=10), message("c", packet_id=3, alias=10)
    )
    assert [event.topic for event in events if isinstance(event, Publish)] == ["a/b", "a/b", "c"]


@pytest.mark.parametrize(
    ("topic", "alias", "reason"), [("a", 11, 0x94), ("a", 65_535, 0x94), ("", 1, 0x82), ("", 11, 0x94)]
)
def test_a_topic_alias_over_the_maximum_or_never_set_ends_the_connection(topic: str, alias: int, reason: int) -> None:
    link = Link(5)
    link.open()
    assert refused(link, message(topic, alias=alias)) == reason


def test_topic_alias_0_ends_the_connection() -> None:
    link = Link(5)
    link.open()
    with pytest.raises(ProtocolError):
        link.transfer(bytes.fromhex("30 07 0001 61 03 230000"))
    [goodbye] = link.inbox()
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason == 0x94


def test_a_flood_of_user_properties_ends_the_connection() -> None:
    link = Link(5)
    link.open()
    flood = PublishProperties(user_properties=(("", ""),) * 200)
    assert refused(link, Publish("t", b"", 1, False, False, 1, flood)) == 0x97


def test_a_client_does_not_number_its_messages() -> None:
    link = Link(5)
    link.open()
    numbered = PublishProperties(subscription_identifiers=(1,))
    assert refused(link, Publish("t", b"", 1, False, False, 1, numbered)) == 0x82


# Subscriptions.


@pytest.mark.parametrize(
    ("text", "identifier", "reason"), [("a", 1, 0xA1), ("$share/g/a", None, 0x9E), ("x" * 2_000, None, 0x8F)]
)
def test_a_subscription_of_a_kind_that_we_do_not_have_ends_the_connection(
    text: str, identifier: int | None, reason: int
) -> None:
    link = Link(5)
    link.open()
    properties = SubscribeProperties(subscription_identifier=identifier)
    filters = (SubscribeFilter(filter=text, qos=1),)
    assert refused(link, Subscribe(packet_id=1, filters=filters, properties=properties)) == reason


def test_a_bridge_unsubscribes_from_what_it_never_subscribed_to() -> None:
    link = Link(4)
    link.connect(bridge=True, clean_start=False, will=WILL)
    link.session.accept(session_present=False)
    link.inbox()
    events = link.send(
        Publish("$SYS/broker/connection/dev/state", b"1", 1, True, False, 1),
        Unsubscribe(packet_id=2, filters=("devices/dev/messages/events/#",)),
    )
    assert [type(event) for event in events] == [Publish, UnsubscribeReceived]
    link.session.acknowledge(1)
    link.session.confirm_unsubscribe(2, [0x11])
    assert link.session.take_output() == bytes.fromhex("40020001 b0020002")


def test_in_3_1_1_a_share_prefix_is_a_topic_like_any_other() -> None:
    link = Link(4)
    link.open()
    [event] = link.send(Subscribe(packet_id=1, filters=(SubscribeFilter(filter="$share/g", qos=1),)))
    assert isinstance(event, SubscribeReceived)


# Broken rules behind good packets.


@BOTH
def test_good_packets_count_although_a_bad_one_follows_in_the_same_read(level: int) -> None:
    link = Link(level)
    link.open(will=will_of(level))
    good = write_one(message(packet_id=7), level)
    [event] = link.transfer(good + b"\x30\x02\x00\x05")
    assert isinstance(event, Publish)
    assert link.session.window > 0
    link.session.acknowledge(7)
    assert link.session.deadline() == link.now
    with pytest.raises(ProtocolError):
        link.session.on_deadline(link.now)
    output = link.session.take_output()
    assert output.startswith(bytes.fromhex("40020007"))
    assert (b"\xe0" in output) == (level == 5)
    assert link.session.dead
    assert link.drop() == will_of(level)


def test_the_next_bytes_bring_the_error_too() -> None:
    link = Link(4)
    link.open()
    link.transfer(v3.write(message()) + b"\xf0\x00")
    with pytest.raises(ProtocolError):
        link.transfer(b"")
    assert link.transfer(b"\xc0\x00") == []


@BOTH
def test_a_farewell_says_what_was_wrong_where_it_can(level: int) -> None:
    link = Link(level)
    link.open()
    with pytest.raises(ProtocolError):
        link.transfer(b"\x30\x02\x00\x05")
    found = link.inbox()
    if level == 4:
        assert found == []
        return
    [goodbye] = found
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason == 0x81
    assert goodbye.properties is not None
    assert goodbye.properties.reason_string == "the packet ends inside a field"


def test_a_farewell_that_does_not_fit_is_shortened() -> None:
    link = Link(5)
    link.open(properties=ConnectProperties(maximum_packet_size=64))
    with pytest.raises(ProtocolError):
        link.send(Publish("t", b"", 1, False, False, 1, PublishProperties(user_properties=(("", ""),) * 200)))
    assert len(link.session.take_output()) <= 64


# However it arrives.


def outcome(level: int, pieces: list[bytes]) -> tuple[list[ServerEvent], bytes, str]:
    """All events, all output and the error of a connection that gets these pieces."""
    link = Link(level)
    link.open()
    events: list[ServerEvent] = []
    try:
        for piece in pieces:
            events += link.transfer(piece)
        events += link.advance(0)
    except ProtocolError as error:
        return events, link.session.take_output(), str(error)
    return events, link.session.take_output(), ""


@BOTH
@given(data=st.data())
def test_the_outcome_does_not_depend_on_how_the_bytes_arrive(level: int, data: st.DataObject) -> None:
    packets = data.draw(st.lists(mqtt_packets.packets(level), max_size=4))
    wire = bytearray(b"".join(write_one(packet, level) for packet in packets))
    if wire and data.draw(st.booleans()):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(wire)
    single = [whole[at : at + 1] for at in range(len(whole))]
    assert outcome(level, [whole]) == outcome(level, single)


@BOTH
@given(data=st.binary(max_size=80))
def test_garbage_is_events_or_a_protocol_error_on_an_open_connection(level: int, data: bytes) -> None:
    outcome(level, [data])


@given(data=st.binary(max_size=80))
def test_garbage_is_a_protocol_error_or_nothing_on_a_new_connection(data: bytes) -> None:
    link = Link(5)
    try:
        link.transfer(b"\x10" + data)
    except ProtocolError:
        assert link.session.dead
