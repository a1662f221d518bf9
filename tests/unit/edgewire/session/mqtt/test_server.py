from collections.abc import Callable

import pytest

from edgewire.codec.mqtt.packets import (
    Connack,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
)
from edgewire.codec.mqtt.properties import ConnectProperties, PublishProperties
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.mqtt.events import Disconnected, PublishAcknowledged, SubscribeReceived, UnsubscribeReceived
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.server import Refusal
from support.mqtt_link import Link

BOTH = pytest.mark.parametrize("level", [3, 4, 5])


@BOTH
def test_a_publish_is_acknowledged_when_it_is_said_so(level: int) -> None:
    link = Link(level)
    link.open()
    [publish] = link.publish(packet_id=7)
    assert isinstance(publish, Publish)
    assert (publish.topic, publish.payload, publish.packet_id) == ("t", b"x", 7)
    assert link.inbox() == []
    assert link.session.unacknowledged == 1
    link.session.acknowledge(7)
    assert link.session.take_output() == bytes.fromhex("40020007")
    assert link.session.unacknowledged == 0


@BOTH
def test_many_are_acknowledged_in_the_order_given(level: int) -> None:
    link = Link(level)
    link.open()
    link.send(*[Publish("t", b"", 1, False, False, packet_id) for packet_id in (1, 2, 65_535)])
    link.session.acknowledge_many([2, 1, 65_535])
    assert link.session.take_output() == bytes.fromhex("40020002 40020001 4002ffff")


def test_mqtt_3_may_send_an_identifier_again_before_its_answer() -> None:
    link = Link(4)
    link.open()
    link.publish(packet_id=7)
    link.publish(packet_id=7)
    link.session.acknowledge(7)
    link.session.acknowledge(7)
    assert link.session.take_output() == bytes.fromhex("40020007 40020007")


def test_mqtt_5_may_not() -> None:
    link = Link(5)
    link.open()
    link.publish(packet_id=7)
    with pytest.raises(ProtocolError, match="in use"):
        link.publish(packet_id=7)


def test_an_answer_for_nothing_is_our_mistake_in_mqtt_5() -> None:
    link = Link(5)
    link.open()
    with pytest.raises(UsageError):
        link.session.acknowledge(7)


def test_a_message_can_be_refused_in_mqtt_5_only() -> None:
    link = Link(5)
    link.open()
    link.publish(packet_id=7)
    assert link.session.refuse_publish(7, 0x97)
    assert link.session.take_output() == bytes.fromhex("4003000797")
    assert link.session.unacknowledged == 0
    old = Link(4)
    old.open()
    old.publish(packet_id=7)
    assert not old.session.refuse_publish(7, 0x97)
    assert old.session.take_output() == b""
    for reason in (0, 0x10, 0x84):
        with pytest.raises(UsageError):
            link.session.refuse_publish(7, reason)


@BOTH
def test_a_ping_is_answered(level: int) -> None:
    link = Link(level)
    link.open()
    assert link.send(Pingreq()) == []
    assert link.session.take_output() == bytes.fromhex("d000")


def subscribe(*filters: str) -> Subscribe:
    return Subscribe(packet_id=9, filters=tuple(SubscribeFilter(filter=text, qos=2) for text in filters))


@pytest.mark.parametrize(("level", "failure"), [(4, 0x80), (5, 0x87)])
def test_a_subscription_is_granted_filter_by_filter(level: int, failure: int) -> None:
    link = Link(level)
    link.open()
    [event] = link.send(subscribe("a", "b", "c"))
    assert isinstance(event, SubscribeReceived)
    assert [(one.filter, one.qos) for one in event.filters] == [("a", 2), ("b", 2), ("c", 2)]
    link.session.grant(9, [0, 1, 0x87])
    [suback] = link.inbox()
    assert isinstance(suback, Suback)
    assert suback.codes == (0, 1, failure)


@pytest.mark.parametrize("level", [3, 4, 5])
@pytest.mark.parametrize("request_", [subscribe("a"), Unsubscribe(packet_id=9, filters=("a",))])
def test_a_request_with_an_identifier_that_waits_for_its_answer_is_refused(level: int, request_: Packet) -> None:
    link = Link(level)
    link.open()
    link.send(subscribe("a"))
    with pytest.raises(ProtocolError) as caught:
        link.send(request_)
    assert caught.value.reply == 0x82
    assert link.session.dead


def test_mqtt_31_may_send_a_request_again_and_gets_one_answer() -> None:
    link = Link(3)
    link.open()
    again = b"\x8a\x06\x00\x09\x00\x01a\x01"
    assert len(link.transfer(again)) == 1
    assert link.transfer(again) == []
    link.session.grant(9, [1])
    assert link.session.take_output() == bytes.fromhex("9003 0009 01")
    assert len(link.transfer(again)) == 1


@pytest.mark.parametrize("codes", [[1], [1, 2], [1, 0x11], [1, 1, 1]])
def test_a_grant_must_fit_what_was_asked(codes: list[int]) -> None:
    link = Link(4)
    link.open()
    link.send(subscribe("a", "b"))
    with pytest.raises(UsageError):
        link.session.grant(9, codes)


@pytest.mark.parametrize(("level", "codes"), [(4, ()), (5, (0, 0x11))])
def test_an_unsubscription_is_confirmed(level: int, codes: tuple[int, ...]) -> None:
    link = Link(level)
    link.open()
    [event] = link.send(Unsubscribe(packet_id=9, filters=("a", "b")))
    assert isinstance(event, UnsubscribeReceived)
    link.session.confirm_unsubscribe(9, [0, 0x11])
    [unsuback] = link.inbox()
    assert isinstance(unsuback, Unsuback)
    assert (unsuback.packet_id, unsuback.codes) == (9, codes)


@BOTH
def test_we_publish_and_hear_that_it_arrived(level: int) -> None:
    link = Link(level)
    link.open()
    assert link.session.publish("a/b", b"hi", qos=0) == 0
    assert link.session.publish("a/b", b"hi", qos=1) == 1
    first, second = link.inbox()
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    assert (second.topic, second.payload, second.qos, second.packet_id) == ("a/b", b"hi", 1, 1)
    assert link.send(Puback(packet_id=1)) == [PublishAcknowledged(packet_id=1)]
    assert link.send(Puback(packet_id=1)) == []


def test_a_message_is_sent_again_with_its_identifier() -> None:
    link = Link(4)
    link.open()
    assert link.session.publish("t", b"", qos=1, dup=True, packet_id=5) == 5
    [again] = link.inbox()
    assert isinstance(again, Publish)
    assert again.dup
    assert link.session.publish("t", b"", qos=1) == 6


def test_properties_go_along_in_mqtt_5() -> None:
    link = Link(5)
    link.open()
    link.session.publish("t", b"", qos=1, user_properties=(("k", "v"),), content_type="text")
    [sent] = link.inbox()
    assert isinstance(sent, Publish)
    assert sent.properties is not None
    assert (sent.properties.user_properties, sent.properties.content_type) == ((("k", "v"),), "text")


def test_all_properties_may_be_given_as_they_are() -> None:
    said = PublishProperties(message_expiry_s=9, response_topic="r", subscription_identifiers=(3, 4))
    link = Link(5)
    link.open()
    link.session.publish("t", b"", qos=1, properties=said)
    [sent] = link.inbox()
    assert isinstance(sent, Publish)
    assert sent.properties == said


def test_what_the_peer_has_no_room_for_is_not_sent() -> None:
    link = Link(5)
    link.open(properties=ConnectProperties(receive_maximum=2, maximum_packet_size=100))
    assert link.session.window == 2
    assert link.session.publish("t", bytes(100), qos=1) is None
    assert link.session.window == 2
    assert [link.session.publish("t", bytes(80), qos=1) for _ in range(3)] == [2, 3, None]
    assert link.session.window == 0


@pytest.mark.parametrize(("level", "said"), [(4, None), (5, None), (5, 80), (5, 100_000)])
def test_a_client_that_cannot_say_how_little_it_takes_has_a_limit_of_ours(level: int, said: int | None) -> None:
    link = Link(level, ServerLimits(max_sent_packet_bytes=100))
    link.open(properties=ConnectProperties(maximum_packet_size=said) if level == 5 else None)
    most = min(said or 100, 100)
    overhead = 2 + 3 + (level == 5)  # fixed header, topic, and the length of no properties
    assert link.session.publish("t", bytes(most - overhead), qos=0) == 0
    assert link.session.publish("t", bytes(most - overhead + 1), qos=0) is None


@pytest.mark.parametrize("arguments", [{"qos": 2}, {"qos": 0, "dup": True}, {"qos": 0, "packet_id": 1}])
def test_what_cannot_be_published_is_our_mistake(arguments: dict[str, int]) -> None:
    link = Link(4)
    link.open()
    with pytest.raises(UsageError):
        link.session.publish("t", b"", **arguments)  # type: ignore[arg-type] # the table holds names and numbers


def test_calls_out_of_turn_are_our_mistake() -> None:
    link = Link(4)
    calls: list[Callable[[], object]] = [
        lambda: link.session.accept(session_present=False),
        lambda: link.session.refuse(Refusal.BANNED),
        lambda: link.session.publish("t", b"", qos=0),
        lambda: link.session.acknowledge(1),
        lambda: link.session.grant(1, [0]),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()


def test_calls_on_a_dead_session_do_nothing() -> None:
    link = Link(5)
    link.open()
    link.publish(packet_id=1)
    link.drop()
    session = link.session
    session.accept(session_present=False)
    session.refuse(Refusal.BANNED)
    session.acknowledge_many([1])
    session.grant(1, [0])
    session.confirm_unsubscribe(1, [0])
    session.disconnect(0x8E)
    assert session.refuse_publish(1, 0x80)
    assert session.publish("t", b"", qos=1) is None
    assert session.receive(b"\xc0\0", 0.0) == []
    assert session.on_deadline(1e9) == []
    assert (session.dead, session.deadline(), session.window, session.take_output()) == (True, None, 0, b"")


@pytest.mark.parametrize(("level", "wire"), [(3, ""), (4, ""), (5, "e0018e")])
def test_a_server_says_goodbye_in_mqtt_5_only(level: int, wire: str) -> None:
    link = Link(level)
    link.open()
    link.session.disconnect(0x8E)
    assert link.session.take_output().hex() == wire
    assert link.session.dead
    with pytest.raises(UsageError):
        Link(5).session.disconnect(0x04)


@pytest.mark.parametrize("level", [4, 5])
def test_before_connack_nothing_is_said(level: int) -> None:
    link = Link(level)
    link.connect()
    link.session.disconnect(0x8B)
    assert link.session.take_output() == b""
    assert link.session.dead


def test_a_client_without_a_session_cannot_be_told_of_one() -> None:
    link = Link(4)
    link.connect(clean_start=True)
    with pytest.raises(UsageError):
        link.session.accept(session_present=True)


@pytest.mark.parametrize(("level", "wire"), [(3, "20020000"), (4, "20020100")])
def test_mqtt_3_1_knows_no_session_present(level: int, wire: str) -> None:
    link = Link(level)
    link.connect(clean_start=False)
    link.session.accept(session_present=True)
    assert link.session.take_output().hex() == wire


def test_a_client_too_small_for_connack_is_let_go() -> None:
    link = Link(5)
    link.connect("", properties=ConnectProperties(maximum_packet_size=64))
    link.session.accept(session_present=False, assigned_client_id="a" * 100)
    assert link.session.dead
    assert link.session.take_output() == bytes.fromhex("2003009500")
    assert link.advance(0) == [Disconnected(clean=False, reason=0x95)]


def test_a_client_too_small_for_an_answer_is_let_go() -> None:
    link = Link(5)
    link.open(properties=ConnectProperties(maximum_packet_size=64))
    link.send(subscribe(*"a" * 64))
    link.session.grant(9, [0] * 64)
    assert link.session.take_output() == bytes.fromhex("e00195")
    assert link.advance(0) == [Disconnected(clean=False, reason=0x95)]


@pytest.mark.parametrize(
    "packet",
    [Pubrel(packet_id=1), Connack(session_present=False, code=0), Suback(packet_id=1, codes=(0,))],
    ids=lambda packet: type(packet).__name__,
)
@pytest.mark.parametrize("level", [4, 5])
def test_what_is_not_for_a_server_is_refused(level: int, packet: Packet) -> None:
    link = Link(level)
    link.open()
    with pytest.raises(ProtocolError):
        link.send(packet)
    assert link.session.dead


def test_too_much_behind_an_unanswered_connect_is_refused() -> None:
    link = Link(5, ServerLimits(max_early_bytes=1_000))
    link.connect()
    assert link.transfer(bytes(1_000)) == []
    with pytest.raises(ProtocolError):
        link.transfer(b"x")
    [connack] = link.inbox()
    assert isinstance(connack, Connack)
    assert connack.code == 0x97
