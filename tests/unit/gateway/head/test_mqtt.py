import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edgewire.codec.mqtt.packets import (
    Connack,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Unsuback,
    Unsubscribe,
    Will,
)
from edgewire.codec.mqtt.properties import PublishProperties
from edgewire.iothub.limits import SENDER_ROOM_TOPIC_BYTES
from edgewire.message import Identity, identity
from gateway.dispatch.presence import Ending
from gateway.head import mqtt
from gateway.head.mqtt_words import GOODBYES, PUBACK_REASONS
from gateway.identity.tokens import PresentedTokens, Token
from gateway.identity.vouching import Vouchers, Vouching
from gateway.observe.head import (
    BridgeStateIgnored,
    ClosedBeforeLogin,
    ConnectionRefused,
    DeviceDisconnected,
    Leaving,
    MessageRefused,
    ProtocolBroken,
    RefusedMessage,
)
from gateway.observe.identity import LoginRefused, RefusalReason
from gateway.store.store import Done
from gateway.store.values import AppendResult, StoreLimits
from support.mqtt_site import Device, Site, subscription

OWN = "devices/d1/messages/events/"
JSON = "$.ct=application%2Fjson&$.ce=utf-8"
C2D = "devices/d1/messages/devicebound/#"
PATIENCE_S = 45.0
"""With a disk that others use, too."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site.open(tmp_path) as site:
        yield site


async def settled(site: Site) -> None:
    """All that the store and the sessions were given is on disk, and everybody has been told."""
    await site.store.flush()
    saved = asyncio.Event()
    site.sessions.forget(identity("nobody"), saved.set)
    await asyncio.wait_for(saved.wait(), PATIENCE_S)


def pubacks(packets: list[Packet]) -> list[tuple[int, int]]:
    return [(packet.packet_id, packet.reason) for packet in packets if isinstance(packet, Puback)]


# --- login ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [3, 4, 5])
async def test_a_device_with_a_good_token_is_let_in(site: Site, level: int) -> None:
    device = site.connect(level=level)
    answer = device.received()
    assert [type(packet) for packet in answer] == [Connack]
    assert isinstance(answer[0], Connack)
    assert answer[0].code == 0
    assert identity("d1") in site.presence


@pytest.mark.parametrize(
    ("case", "reason", "codes"),
    [
        (lambda s: {"token": s.token("d2")}, RefusalReason.FOREIGN_AUDIENCE, (5, 0x87)),
        (lambda s: {"token": s.token("d1", key=b"x" * 32)}, RefusalReason.WRONG_KEY, (5, 0x87)),
        (lambda s: {"token": s.token("d1", life_s=-400)}, RefusalReason.EXPIRED, (5, 0x87)),
        (lambda _: {"token": b"letmein"}, RefusalReason.MALFORMED_TOKEN, (5, 0x87)),
        (lambda _: {"token": b"\xff\xfe"}, RefusalReason.MALFORMED_TOKEN, (5, 0x87)),
        (lambda s: {"device": "d9", "token": s.token("d9")}, RefusalReason.UNKNOWN_DEVICE, (5, 0x87)),
        (lambda _: {"username": "hub.example/d1"}, RefusalReason.MALFORMED_USERNAME, (4, 0x86)),
        (lambda _: {"username": "hub.example/d2/?api-version=1"}, RefusalReason.MALFORMED_USERNAME, (4, 0x86)),
        (lambda _: {"username": "other.hub/d1/?api-version=1"}, RefusalReason.FOREIGN_HUB, (5, 0x87)),
    ],
)
@pytest.mark.parametrize("level", [4, 5])
async def test_a_login_that_fails_gets_the_right_code_and_is_counted_by_reason(
    site: Site, case: Callable[[Site], dict[str, Any]], reason: RefusalReason, codes: tuple[int, int], level: int
) -> None:
    device = site.connect(level=level, **case(site))
    answer = device.received()
    assert isinstance(answer[0], Connack)
    assert answer[0].code == codes[level == 5]
    assert device.is_closed()
    assert site.reasons(LoginRefused) == [reason]
    assert len(site.presence) == 0


async def test_what_follows_a_refused_login_is_not_taken(site: Site) -> None:
    device = site.connect(token=b"letmein")
    device.publish(OWN)
    await settled(site)
    assert site.stored() == []


async def test_guessing_is_answered_late_and_a_good_token_at_once(site: Site) -> None:
    for _ in range(10):
        site.connect(token=b"letmein")
    held = site.connect(token=b"letmein")
    assert held.received() == []
    assert not held.is_closed()
    assert site.reasons(LoginRefused)[-1] is RefusalReason.THROTTLED
    site.login()
    held.lose()


async def test_the_newest_connection_of_an_identity_wins_and_a_wrong_password_ends_nobody(site: Site) -> None:
    first = site.login(level=5)
    site.connect(token=b"letmein")
    assert not first.is_closed()
    second = site.login(level=5)
    assert first.is_closed()
    farewell = first.received()[-1]
    assert isinstance(farewell, Disconnect)
    assert farewell.reason == 0x8E
    first.lose()
    assert site.reasons(DeviceDisconnected) == [Leaving.TAKEN_OVER]
    second.publish(OWN)
    await settled(site)
    assert pubacks(second.received()) == [(1, 0)]


@pytest.mark.plain
async def test_a_connection_ends_when_its_token_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "TOKEN_CHECK_S", 0.01)
    device = site.login(level=5)
    site.clock.now += 3600 + 301
    async with asyncio.timeout(PATIENCE_S):
        while not device.is_closed():  # noqa: ASYNC110 — the timer has no event of its own
            await asyncio.sleep(0.005)
    farewell = device.received()[-1]
    assert isinstance(farewell, Disconnect)
    assert farewell.reason == 0xA0
    device.lose()
    assert site.reasons(DeviceDisconnected) == [Leaving.TOKEN_EXPIRED]


async def test_a_clock_that_was_set_ahead_ends_expired_tokens_at_once_and_no_others(site: Site) -> None:
    device = site.login(level=5)
    site.clock.now += 1800
    site.presence.judge_again()
    assert not device.is_closed()
    site.clock.now += 1800 + 301
    site.presence.judge_again()
    assert device.is_closed()
    farewell = device.received()[-1]
    assert isinstance(farewell, Disconnect)
    assert farewell.reason == 0xA0
    device.lose()


@pytest.mark.parametrize("ending", list(Ending))
async def test_every_goodbye_has_its_reason(site: Site, ending: Ending) -> None:
    device = site.login(level=5)
    assert site.presence.end([identity("d1")], ending) == 1
    farewell = device.received()[-1]
    assert isinstance(farewell, Disconnect)
    assert farewell.reason == GOODBYES[ending][1]
    assert device.is_closed()


# --- messages -------------------------------------------------------------------------------------------------------


async def test_a_message_is_acknowledged_when_the_disk_has_it_not_before(site: Site) -> None:
    device = site.login()
    device.publish(OWN + JSON, b'{"t": 1}', packet_id=7)
    assert device.received() == []
    await settled(site)
    assert pubacks(device.received()) == [(7, 0)]
    (entry,) = site.stored()
    assert entry.message.body == b'{"t": 1}'
    assert entry.message.envelope.sender == identity("d1")
    assert entry.message.envelope.system == {
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionDeviceId": "d1",
    }


async def test_many_messages_of_one_read_are_acknowledged_in_order(site: Site) -> None:
    device = site.login()
    device.send(*(Publish(OWN, b"%d" % number, 1, False, False, number) for number in range(1, 51)))
    await settled(site)
    assert pubacks(device.received()) == [(number, 0) for number in range(1, 51)]
    assert [entry.message.body for entry in site.stored()] == [b"%d" % number for number in range(1, 51)]


async def test_qos_0_takes_the_same_way_without_an_answer(site: Site) -> None:
    device = site.login()
    device.publish(OWN, b"quiet", qos=0)
    await settled(site)
    assert device.received() == []
    assert [entry.message.body for entry in site.stored()] == [b"quiet"]


async def test_retain_and_dup_become_properties(site: Site) -> None:
    device = site.login()
    device.send(Publish(OWN + "a=1", b"", 1, True, True, 1))
    await settled(site)
    assert site.stored()[0].message.envelope.properties == {"a": "1", "mqtt-retain": "true", "mqtt-dup": "true"}


async def test_user_properties_of_mqtt_5_become_message_properties(site: Site) -> None:
    device = site.login(level=5)
    properties = PublishProperties(user_properties=(("room", "7"), ("$.ce", "utf-8")), content_type="application/json")
    device.send(Publish(OWN + "a=1", b"{}", 1, False, False, 1, properties))
    await settled(site)
    envelope = site.stored()[0].message.envelope
    assert envelope.properties == {"a": "1", "room": "7"}
    assert (envelope.system["contentType"], envelope.system["contentEncoding"]) == ("application/json", "utf-8")


REFUSED_TOPICS = [
    ("devices/d2/messages/events/", RefusedMessage.FOREIGN_DEVICE),
    ("devices/d1/modules/m/messages/events/", RefusedMessage.FOREIGN_DEVICE),
    ("devices/D1/messages/events/", RefusedMessage.FOREIGN_DEVICE),
    ("DEVICES/d1/messages/events/", RefusedMessage.UNKNOWN_TOPIC),
    ("devices//d1/messages/events/", RefusedMessage.UNKNOWN_TOPIC),
    ("devices/d1/../d2/messages/events/", RefusedMessage.UNKNOWN_TOPIC),
    ("site/room/temperature", RefusedMessage.UNKNOWN_TOPIC),
    ("$SYS/other", RefusedMessage.UNKNOWN_TOPIC),
    ("$iothub/nonsense", RefusedMessage.UNKNOWN_TOPIC),
    ("$iothub/twin/nonsense", RefusedMessage.UNKNOWN_TOPIC),
    (OWN + "a=1&a=2", RefusedMessage.MALFORMED_PROPERTIES),
    (OWN + "a=1=2", RefusedMessage.MALFORMED_PROPERTIES),
    (OWN + "=1", RefusedMessage.MALFORMED_PROPERTIES),
    (OWN + "iothub-connection-device-id=d2", RefusedMessage.MALFORMED_PROPERTIES),
]


@pytest.mark.parametrize(("topic", "reason"), REFUSED_TOPICS)
async def test_what_mqtt_3_may_not_publish_closes_the_connection_unacknowledged(
    site: Site, topic: str, reason: RefusedMessage
) -> None:
    device = site.login()
    device.publish(topic)
    await settled(site)
    assert device.is_closed()
    assert device.received() == []
    assert site.reasons(MessageRefused) == [reason]
    assert site.stored() == []


@pytest.mark.parametrize(("topic", "reason"), REFUSED_TOPICS)
async def test_what_mqtt_5_may_not_publish_is_refused_with_a_reason_and_the_rest_goes_on(
    site: Site, topic: str, reason: RefusedMessage
) -> None:
    device = site.login(level=5)
    device.publish(topic, packet_id=1)
    device.publish(OWN, b"good", packet_id=2)
    await settled(site)
    assert pubacks(device.received()) == [(1, PUBACK_REASONS[reason]), (2, 0)]
    assert [entry.message.body for entry in site.stored()] == [b"good"]


async def test_an_mqtt_5_message_without_a_puback_is_refused_by_disconnect(site: Site) -> None:
    device = site.login(level=5)
    device.publish("devices/d2/messages/events/", qos=0)
    farewell = device.received()[-1]
    assert isinstance(farewell, Disconnect)
    assert farewell.reason == 0x87


async def test_messages_before_a_refused_one_are_kept_and_those_behind_it_not(site: Site) -> None:
    device = site.login()
    topics = [OWN, "nonsense", OWN]
    device.send(*(Publish(topic, b"%d" % at, 1, False, False, at + 1) for at, topic in enumerate(topics)))
    await settled(site)
    assert [entry.message.body for entry in site.stored()] == [b"0"]


async def test_a_message_above_the_limit_is_refused(site: Site) -> None:
    device = site.login(level=5)
    device.publish(OWN, bytes(262_144), packet_id=1)
    device.publish(OWN, bytes(262_144 - SENDER_ROOM_TOPIC_BYTES), packet_id=2)
    await settled(site)
    assert pubacks(device.received()) == [(1, 0x97), (2, 0)]
    assert site.reasons(MessageRefused) == [RefusedMessage.TOO_LARGE]


async def test_a_bridge_that_announces_its_state_is_acknowledged_and_goes_on(site: Site) -> None:
    device = site.login()
    device.send(Publish("$SYS/broker/connection/d1/state", b"1", 1, True, False, 1))
    device.send(Unsubscribe(packet_id=2, filters=("devices/x/messages/events/#",)))
    device.publish(OWN, b"data", packet_id=3)
    await settled(site)
    answers = device.received()
    assert [type(packet) for packet in answers] == [Puback, Unsuback, Puback]
    assert site.events.count(BridgeStateIgnored("d1")) == 1
    assert [entry.message.body for entry in site.stored()] == [b"data"]


@pytest.mark.parametrize("rest", ["room1/temp", "../../d2/messages/events"])
async def test_the_rest_of_a_topic_that_a_bridge_has_changed_is_a_property(site: Site, rest: str) -> None:
    site.login().publish(OWN + rest, packet_id=1)
    await settled(site)
    (entry,) = site.stored()
    assert entry.message.envelope.sender == identity("d1")
    assert entry.message.envelope.properties == {rest: None}


async def test_a_twin_request_is_answered_that_twins_are_not_served(site: Site) -> None:
    device = site.login()
    device.send(subscription("$iothub/twin/res/#"))
    device.publish("$iothub/twin/GET/?$rid=abc", qos=0)
    answer = device.received()[-1]
    assert isinstance(answer, Publish)
    assert answer.topic == "$iothub/twin/res/501/?$rid=abc"
    assert not device.is_closed()


# --- a store that cannot ----------------------------------------------------------------------------------------------


async def test_a_full_store_closes_mqtt_3_without_an_acknowledgement_and_tells_mqtt_5_why(tmp_path: Path) -> None:
    async with Site.open(tmp_path, limits=StoreLimits(max_bytes=65_536, segment_bytes=16_384)) as site:
        old, new = site.login("d1"), site.login("d2", level=5)
        number = 0
        while not old.is_closed():
            number += 1
            assert number < 100
            old.publish(OWN, bytes(4096), packet_id=number)
            await site.store.flush()
        acknowledged = len(pubacks(old.received()))
        assert acknowledged == number - 1
        new.publish("devices/d2/messages/events/", bytes(4096), packet_id=9)
        await site.store.flush()
        assert pubacks(new.received()) == [(9, 0x97)]
        assert not new.is_closed()
        assert len(site.stored()) == acknowledged
        assert set(site.reasons(MessageRefused)) == {RefusedMessage.STORE_FULL}


@pytest.mark.plain
async def test_a_store_that_fails_acknowledges_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_batch: object, done: Done) -> None:
        done(AppendResult.FAILED)

    monkeypatch.setattr(site.store, "append", fail)
    old, new = site.login("d1"), site.login("d2", level=5)
    old.publish(OWN)
    new.publish("devices/d2/messages/events/")
    assert old.is_closed()
    assert pubacks(old.received()) == []
    assert pubacks(new.received()) == [(1, 0x80)]


@pytest.mark.plain
async def test_a_device_that_floods_is_not_read_from_until_the_disk_has_caught_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_UNANSWERED_MESSAGES", 3)
    device = site.login()
    device.send(*(Publish(OWN, b"", 1, False, False, number) for number in range(1, 5)))
    assert [device.wire.paused] == [True]
    await settled(site)
    assert [device.wire.paused] == [False]
    assert len(pubacks(device.received())) == 4


@pytest.mark.plain
async def test_a_device_that_floods_with_requests_is_not_read_from_either(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_UNANSWERED_MESSAGES", 3)
    device = site.login(clean_start=False)
    device.send(*(subscription(C2D, number) for number in range(1, 5)))
    assert [device.wire.paused] == [True]
    await settled(site)
    assert [device.wire.paused] == [False]
    assert len(device.received()) == 4


@pytest.mark.parametrize("clean_start", [True, False])
async def test_a_request_with_an_identifier_that_is_in_use_is_the_peers_fault(site: Site, *, clean_start: bool) -> None:
    device = site.login(clean_start=clean_start)
    device.send(subscription(C2D, 7), subscription(C2D, 7))
    await settled(site)
    device.pump.wake(asyncio.get_running_loop().time())
    assert device.is_closed()
    (event,) = [event for event in site.events if isinstance(event, ProtocolBroken)]
    assert event.identity == "d1"


async def test_who_breaks_the_protocol_before_the_login_is_told_of_too(site: Site) -> None:
    device = site.dial()
    device.send(Pingreq())
    assert device.is_closed()
    (event,) = [event for event in site.events if isinstance(event, ProtocolBroken)]
    assert (event.identity, event.address) == ("", "127.0.0.99")
    assert "a connection from 127.0.0.99 broke the protocol before its login" in event.sentence()


async def test_who_says_nothing_is_told_of(site: Site) -> None:
    device = site.dial()
    device.pump.wake(asyncio.get_running_loop().time() + 60)
    assert device.is_closed()
    assert site.reasons(ConnectionRefused) == [ClosedBeforeLogin.TIMEOUT]


async def test_an_answer_of_the_store_after_the_end_of_the_connection_disturbs_nobody(site: Site) -> None:
    device = site.login()
    device.publish(OWN)
    device.lose()
    await settled(site)
    assert device.wire.crashed is None
    assert len(site.stored()) == 1


# --- subscriptions and sessions ------------------------------------------------------------------------------------


def subscribe(device: Device, *filters: str) -> None:
    for number, each in enumerate(filters, 1):
        device.send(subscription(each, number))


@pytest.mark.parametrize(
    ("topic_filter", "code"),
    [
        (C2D, 1),
        ("$iothub/twin/res/#", 1),
        ("$iothub/methods/POST/#", 1),
        ("devices/d2/messages/devicebound/#", 0x80),
        ("devices/+/messages/devicebound/#", 0x80),
        ("#", 0x80),
        ("+/#", 0x80),
        ("$share/g/devices/d1/messages/devicebound/#", 0x80),
    ],
)
async def test_a_device_may_subscribe_its_own_and_nothing_else(site: Site, topic_filter: str, code: int) -> None:
    device = site.login()
    subscribe(device, topic_filter)
    (answer,) = device.received()
    assert isinstance(answer, Suback)
    assert answer.codes == (code,)


async def test_a_session_is_present_after_a_return_and_gone_after_a_clean_start(site: Site) -> None:
    first = site.login(clean_start=False)
    subscribe(first, C2D)
    await settled(site)
    assert isinstance(first.received()[-1], Suback)
    first.lose()
    assert _present(site.connect(clean_start=False))
    assert not _present(site.connect(clean_start=True))
    assert not _present(site.connect(clean_start=False))


async def test_a_session_that_is_taken_over_is_present(site: Site) -> None:
    first = site.login(level=5, clean_start=True, expiry_s=10)
    site.clock.now += 100
    assert _present(site.connect(level=5, clean_start=False, expiry_s=10))
    first.lose()


async def test_an_mqtt_5_session_lives_as_long_as_asked_after_the_connection(site: Site) -> None:
    site.login(level=5, expiry_s=100).lose()
    site.clock.now += 99
    assert _present(site.connect(level=5, clean_start=False, expiry_s=100))
    site.connect(level=5, clean_start=False, expiry_s=100).lose()
    site.clock.now += 101
    assert not _present(site.connect(level=5, clean_start=False, expiry_s=100))


def _present(device: Device) -> bool:
    answer = device.received()[0]
    assert isinstance(answer, Connack)
    return answer.session_present


# --- wills -----------------------------------------------------------------------------------------------------------


def will(topic: str = OWN + "w=1") -> Will:
    return Will(topic=topic, payload=b"gone", qos=1, retain=False)


async def test_a_will_is_published_when_the_device_goes_without_a_goodbye(site: Site) -> None:
    site.login(will=will()).lose()
    await settled(site)
    (entry,) = site.stored()
    assert entry.message.body == b"gone"
    assert entry.message.envelope.properties["w"] == "1"
    assert "Will" in entry.message.envelope.properties.values()


async def test_a_will_is_void_after_a_goodbye(site: Site) -> None:
    device = site.login(will=will())
    device.send(Disconnect())
    device.lose()
    await settled(site)
    assert site.stored() == []
    assert site.reasons(DeviceDisconnected) == [Leaving.GOODBYE]


async def test_a_will_for_another_device_is_refused_at_the_login(site: Site) -> None:
    device = site.connect(will=will("devices/d2/messages/events/"))
    answer = device.received()[0]
    assert isinstance(answer, Connack)
    assert answer.code == 5
    assert site.reasons(LoginRefused) == [RefusalReason.FOREIGN_WILL]


async def test_a_bridges_will_is_borne_and_never_published(site: Site) -> None:
    site.login(will=will("$SYS/broker/connection/d1/state")).lose()
    await settled(site)
    assert site.stored() == []


# --- order -----------------------------------------------------------------------------------------------------------


async def test_pubacks_keep_the_order_of_the_publishes_whatever_needs_the_disk(site: Site) -> None:
    device = site.login(level=5)
    topics = [OWN, "devices/d2/messages/events/", OWN, "$SYS/broker/connection/d1/state", "nonsense", OWN]
    none = PublishProperties()
    device.send(*(Publish(topic, b"", 1, False, False, at, none) for at, topic in enumerate(topics, 1)))
    assert pubacks(device.received()) == []
    await settled(site)
    assert pubacks(device.received()) == [(1, 0), (2, 0x87), (3, 0), (4, 0), (5, 0x90), (6, 0)]
    assert len(site.stored()) == 3


async def test_a_twin_request_behind_a_message_is_acknowledged_behind_it(site: Site) -> None:
    device = site.login()
    device.publish(OWN, packet_id=1)
    device.publish("$iothub/twin/GET/?$rid=1", packet_id=2)
    await settled(site)
    assert [ack for ack, _ in pubacks(device.received())] == [1, 2]


# Devices that are not registered here.


class Asked:
    """A voucher that answers when the test says so."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.answers: list[Callable[[Vouching], None]] = []
        presented = PresentedTokens(folder / "tokens.json", site.events.append, site.clock)
        site.head.authenticator._vouchers = Vouchers(presented, self)

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        assert str(who) == "new"
        assert token.text
        self.answers.append(answer)


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("said", "code"), [(Vouching.GOOD, 0), (Vouching.REFUSED, 5), (Vouching.AWAY, 3)], ids=str)
async def test_an_unknown_device_waits_for_what_the_hub_says(tmp_path: Path, said: Vouching, code: int) -> None:
    async with Site.open(tmp_path) as site:
        asked = Asked(site, tmp_path)
        device = site.connect("new")
        device.publish("devices/new/messages/events/", b"early")
        assert device.received() == []
        asked.answers.pop()(said)
        await turn()
        [answer, *_] = device.received()
        assert isinstance(answer, Connack)
        assert answer.code == code
        again = site.connect("new")
        if said is Vouching.AWAY:
            assert len(asked.answers) == 1
        else:
            [answer] = again.received()
            assert isinstance(answer, Connack)
            assert answer.code == code


async def test_a_device_that_has_gone_is_not_let_in_any_more(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        asked = Asked(site, tmp_path)
        device = site.connect("new")
        device.lose()
        asked.answers.pop()(Vouching.GOOD)
        await turn()
        assert identity("new") not in site.presence
