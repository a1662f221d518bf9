import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.mqtt.packets import (
    Disconnect,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsubscribe,
)
from edgewire.codec.mqtt.properties import AckProperties, SubscribeProperties
from edgewire.iothub import sas
from edgewire.iothub.topics import MethodCall, format_push_topic, parse_devicebound_topic, parse_push_topic
from edgewire.message import identity
from gateway.dispatch.delivery import MAX_WINDOW, Settlement
from gateway.dispatch.methods import MethodError, MethodFault, MethodResult
from gateway.dispatch.presence import Ending
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.dispatch import IgnoredAnswer, MethodAnswerIgnored
from gateway.observe.head import CloudMessageRefused, MessageRefused
from support.gateway_site import until
from support.mqtt_site import HUB, KEY, SMALL_PACKET, Device, Site, subscription
from support.way_back import QueueSource, cloud_message

D1 = identity("d1")
D2 = identity("d2")
C2D = "devices/d1/messages/devicebound/#"
METHODS = "$iothub/methods/POST/#"
TO = "%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound"
PATIENCE_S = 45.0


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site.open(tmp_path) as site:
        yield site


@pytest.fixture
def source(site: Site) -> QueueSource:
    source = QueueSource(site.delivery)
    site.delivery.use(source)
    return source


def subscribe(device: Device, topic_filter: str, qos: int = 1) -> None:
    packet = subscription(topic_filter, 7, qos)
    if device.level == 5:
        asked = (SubscribeFilter(filter=topic_filter, qos=qos),)
        packet = Subscribe(packet_id=7, filters=asked, properties=SubscribeProperties())
    device.send(packet)


async def stored_subscriptions(device: Device, *filters: str) -> None:
    """Subscriptions of a session that lasts: they count when the disk has them."""
    asked = tuple(SubscribeFilter(filter=each, qos=1) for each in filters)
    device.send(Subscribe(packet_id=7, filters=asked))
    await until(lambda: any(isinstance(packet, Suback) for packet in device.received()))


def published(device: Device) -> list[Publish]:
    return [packet for packet in device.received() if isinstance(packet, Publish)]


def puback(device: Device, publish: Publish, reason: int = 0) -> Packet:
    properties = AckProperties() if device.level == 5 else None
    return Puback(packet_id=publish.packet_id, reason=reason, properties=properties)


# --- messages from the cloud -----------------------------------------------------------------------------------------


async def test_a_message_is_published_as_the_hub_does_and_its_puback_completes_it(
    site: Site, source: QueueSource
) -> None:
    device = site.login()
    subscribe(device, C2D)
    assert [type(packet) for packet in device.received()] == [Suback]
    message = cloud_message(
        b"hello", properties={"color": "r/d"}, system={"messageId": "m 1", "contentType": "text/plain"}
    )
    source.send(D1, message)
    (publish,) = published(device)
    topic = "devices/d1/messages/devicebound/"
    assert publish.topic == f"{topic}%24.mid=m%201&{TO}&%24.ct=text%2Fplain&color=r%2Fd"
    assert (publish.payload, publish.qos, publish.dup, publish.retain) == (b"hello", 1, False, False)
    assert source.settled == []
    device.send(puback(device, publish))
    assert source.settled == [(message, Settlement.COMPLETED)]
    device.send(puback(device, publish))
    assert len(source.settled) == 1


async def test_a_message_with_nothing_to_say_still_has_its_slash_and_says_where_it_is_sent_to(
    site: Site, source: QueueSource
) -> None:
    device = site.login()
    subscribe(device, C2D)
    source.send(D1, cloud_message(b""))
    (publish,) = published(device)
    assert publish.topic == f"devices/d1/messages/devicebound/{TO}"
    assert parse_devicebound_topic(publish.topic) is not None


async def test_what_the_hub_says_of_the_destination_stays(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D)
    source.send(D1, cloud_message(system={"to": "/devices/d1/messages/deviceBound"}))
    assert "deviceBound" in published(device)[0].topic


@pytest.mark.parametrize(
    ("granted", "asked", "qos"),
    [(1, None, 1), (0, None, 0), (1, "0", 0), (1, "1", 1), (0, "1", 0), (1, "2", 1)],
)
async def test_the_quality_of_service_is_the_subscriptions_and_a_message_may_lower_it(
    site: Site, source: QueueSource, granted: int, asked: str | None, qos: int
) -> None:
    device = site.login()
    subscribe(device, C2D, granted)
    source.send(D1, cloud_message(properties={} if asked is None else {"mqtt-qos": asked}))
    assert published(device)[0].qos == qos
    assert len(source.settled) == (qos == 0)


async def test_with_qos_0_a_message_is_completed_when_the_socket_has_it(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D, 0)
    device.received()
    device.pump.sending_paused()
    source.send(D1, cloud_message())
    assert (len(published(device)), source.settled) == (1, [])
    device.pump.sending_resumed()
    assert [how for _, how in source.settled] == [Settlement.COMPLETED]


async def test_a_device_that_goes_away_gives_back_what_it_did_not_acknowledge(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D)
    source.send(D1, cloud_message(b"1"))
    source.send(D1, cloud_message(b"2"))
    first, _ = published(device)
    device.send(puback(device, first))
    device.lose()
    assert [(message.body, how) for message, how in source.settled] == [
        (b"1", Settlement.COMPLETED),
        (b"2", Settlement.ABANDONED),
    ]
    assert [message.body for message in source.waiting(D1)] == [b"2"]
    assert site.delivery.listeners() == {}


@pytest.mark.parametrize("why", Ending)
async def test_a_connection_that_is_ended_takes_nothing_more(site: Site, source: QueueSource, why: Ending) -> None:
    device = site.login()
    subscribe(device, C2D)
    subscribe(device, METHODS)
    source.send(D1, cloud_message())
    site.presence.end([D1], why)
    assert [how for _, how in source.settled] == [Settlement.ABANDONED]
    assert site.delivery.listeners() == {}
    assert site.methods.listeners() == ()


async def test_who_takes_over_gets_what_the_other_did_not_acknowledge(site: Site, source: QueueSource) -> None:
    old = site.login(clean_start=False)
    await stored_subscriptions(old, C2D)
    source.send(D1, cloud_message(b"1"))
    assert len(published(old)) == 1
    new = site.connect(clean_start=False)
    (publish,) = published(new)
    assert (publish.payload, publish.dup) == (b"1", False)
    old.lose()
    new.send(puback(new, publish))
    assert [how for _, how in source.settled] == [Settlement.ABANDONED, Settlement.COMPLETED]
    assert site.delivery.listeners() == {D1: MAX_WINDOW}


async def test_a_stored_session_listens_from_its_connack_on(site: Site, source: QueueSource) -> None:
    first = site.login(clean_start=False)
    await stored_subscriptions(first, C2D, METHODS)
    first.send(Disconnect())
    source.send(D1, cloud_message())
    assert site.delivery.listeners() == {}
    second = site.connect(clean_start=False)
    assert [type(packet).__name__ for packet in second.received()] == ["Connack", "Publish"]
    assert site.methods.listeners() == (D1,)


async def test_who_unsubscribes_gets_nothing_more(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D)
    device.send(Unsubscribe(packet_id=2, filters=(C2D,)))
    device.received()
    source.send(D1, cloud_message())
    assert published(device) == []
    assert len(source.waiting(D1)) == 1


async def test_a_device_that_subscribes_something_else_gets_no_messages(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, "$iothub/twin/res/#")
    source.send(D1, cloud_message())
    assert published(device) == []


async def test_no_more_is_on_its_way_than_the_window_and_the_order_is_kept(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D)
    for number in range(MAX_WINDOW + 5):
        source.send(D1, cloud_message(b"%d" % number))
    got: list[bytes] = []
    publishes = published(device)
    assert len(publishes) == MAX_WINDOW
    while publishes:
        got += [publish.payload for publish in publishes]
        device.send(*(puback(device, publish) for publish in publishes))
        publishes = published(device)
    assert got == [b"%d" % number for number in range(MAX_WINDOW + 5)]


async def test_an_mqtt5_client_bounds_the_window_itself(site: Site, source: QueueSource) -> None:
    device = site.login(level=5, receive_maximum=2)
    subscribe(device, C2D)
    for _ in range(3):
        source.send(D1, cloud_message(system={"contentType": "text/plain"}))
    publishes = published(device)
    assert len(publishes) == 2
    assert publishes[0].properties is not None
    assert publishes[0].properties.content_type == "text/plain"
    device.send(puback(device, publishes[0]))
    assert len(published(device)) == 1


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        (0x00, Settlement.COMPLETED),
        (0x10, Settlement.COMPLETED),
        (0x80, Settlement.REJECTED),
        (0x97, Settlement.REJECTED),
    ],
)
async def test_an_mqtt5_client_can_reject(site: Site, source: QueueSource, reason: int, how: Settlement) -> None:
    device = site.login(level=5)
    subscribe(device, C2D)
    source.send(D1, cloud_message())
    (publish,) = published(device)
    device.send(puback(device, publish, reason))
    assert [settlement for _, settlement in source.settled] == [how]


async def test_what_an_mqtt5_client_can_never_take_is_rejected_and_said(site: Site, source: QueueSource) -> None:
    device = site.login(level=5, maximum_packet_size=1_000)
    subscribe(device, C2D)
    source.send(D1, cloud_message(b"x" * 1_000, system={"messageId": "m1"}))
    source.send(D1, cloud_message(b"small"))
    assert [publish.payload for publish in published(device)] == [b"small"]
    assert [how for _, how in source.settled] == [Settlement.REJECTED]
    (event,) = [event for event in site.events if isinstance(event, CloudMessageRefused)]
    assert (event.identity, event.message_id) == ("d1", "m1")


@pytest.mark.parametrize("level", [4, 5])
async def test_whatever_a_service_sends_can_be_published(site: Site, source: QueueSource, level: int) -> None:
    device = site.login(level=level)
    subscribe(device, C2D)
    properties = {"": "x", "a\x00b": "\r\n", "ü€😀": None, "/+#": "/+#", "$.ct": "x", "mqtt-qos": "17"}
    system = {"contentType": "a\x00b", "messageId": "\x1b[31m", "unknown": "x", "cid": "/"}
    source.send(D1, cloud_message(properties=properties, system=system))
    (publish,) = published(device)
    assert publish.topic.isascii()
    assert not set("+#") & set(publish.topic)
    assert publish.topic.count("/") == 4


async def test_properties_that_no_topic_holds_are_rejected_and_said(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D)
    source.send(D1, cloud_message(properties={"a": "/" * 30_000}))
    assert published(device) == []
    assert [how for _, how in source.settled] == [Settlement.REJECTED]
    assert any(isinstance(event, CloudMessageRefused) for event in site.events)


async def test_a_lost_link_to_the_cloud_makes_a_late_puback_worth_nothing(site: Site, source: QueueSource) -> None:
    device = site.login()
    subscribe(device, C2D)
    source.send(D1, cloud_message())
    (publish,) = published(device)
    site.delivery.lost_all()
    device.send(puback(device, publish))
    assert source.settled == []
    assert not device.is_closed()


async def test_identifiers_that_void_messages_hold_keep_new_ones_waiting_in_their_order(
    site: Site, source: QueueSource
) -> None:
    device = site.login(level=5, receive_maximum=2)
    subscribe(device, C2D)
    source.send(D1, cloud_message(b"1"))
    source.send(D1, cloud_message(b"2"))
    held = published(device)
    settled: list[Settlement] = []
    for number in range(3, 9):  # a link upstream that comes and goes; what waits of an older one is let go
        site.delivery.lost_all()
        assert site.delivery.offer(D1, cloud_message(b"%d" % number), settled.append)
    assert site.delivery.offer(D1, cloud_message(b"9"), settled.append)
    assert published(device) == []
    device.send(*(puback(device, publish) for publish in held))
    publishes = published(device)
    assert [publish.payload for publish in publishes] == [b"8", b"9"]
    device.send(*(puback(device, publish) for publish in publishes))
    assert (settled, source.settled) == ([Settlement.COMPLETED] * 2, [])


# --- methods ---------------------------------------------------------------------------------------------------------


def call(site: Site, name: str = "reboot", payload: bytes = b'{"a":1}') -> "asyncio.Task[MethodResult]":
    return asyncio.create_task(
        site.methods.invoke(D1, name, payload, connect_timeout_s=0, response_timeout_s=PATIENCE_S)
    )


async def called(device: Device) -> MethodCall:
    for _ in range(100):
        await asyncio.sleep(0)
        for publish in published(device):
            push = parse_push_topic(publish.topic)
            assert isinstance(push, MethodCall)
            assert publish.topic == format_push_topic(push)
            assert publish.qos == 0
            return push
    raise AssertionError("no method was called")


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_method_is_called_and_answered(site: Site, qos: int) -> None:
    device = site.login()
    subscribe(device, METHODS, 0)
    calling = call(site, "re boot/now")
    found = await called(device)
    assert found.name == "re boot/now"
    device.publish(f"$iothub/methods/res/201/?$rid={found.rid}", b'{"ok":true}', qos=qos)
    assert await calling == MethodResult(201, b'{"ok":true}')
    assert [type(packet) for packet in device.received()] == [Puback] * qos


async def test_a_module_takes_calls_too(site: Site) -> None:
    who = identity("d1", "m")
    site.registry.edit(lambda roster: roster.with_registration(Registration(who, SymmetricKeys(KEY, KEY[::-1]))))

    token = sas.make(sas.resource_of(HUB, who), KEY, int(site.clock.now + 60)).encode()
    device = site.login("d1/m", token=token, username=f"{HUB}/d1/m/?api-version=2021-04-12")
    subscribe(device, METHODS)
    calling = asyncio.create_task(
        site.methods.invoke(who, "x", b"", connect_timeout_s=0, response_timeout_s=PATIENCE_S)
    )
    found = await called(device)
    device.publish(f"$iothub/methods/res/200/?$rid={found.rid}", b"", qos=0)
    assert (await calling).status == 200


ATTEMPTS = [  # robustness.md §5.3 (13): the topic, what is counted, what the caller hears
    pytest.param("$iothub/methods/res/200/?$rid={rid}", None, 200, id="its own"),
    pytest.param("$iothub/methods/res/-1/?$rid={rid}", None, -1, id="a negative status"),
    pytest.param("$iothub/methods/res/ok/?$rid={rid}", None, 400_000, id="a status that is no number"),
    pytest.param("$iothub/methods/res/99999999999/?$rid={rid}", None, 400_000, id="a status beyond all numbers"),
    pytest.param("$iothub/methods/res/200/?%24rid={rid}", None, 200, id="an escaped dollar"),
    pytest.param("$iothub/methods/res/200/?$rid={rid}&$rid=other", None, 200, id="two rids, the first counts"),
    pytest.param("$iothub/methods/res/200/?$rid=1", IgnoredAnswer.UNKNOWN_CALL, None, id="an invented rid"),
    pytest.param("$iothub/methods/res/200/?$rid={other}", IgnoredAnswer.FOREIGN_DEVICE, None, id="of another device"),
    pytest.param("$iothub/methods/res/200/?$rid={rid} ", IgnoredAnswer.UNKNOWN_CALL, None, id="a blank behind it"),
    pytest.param("$iothub/methods/res/200/?$rid={RID}", IgnoredAnswer.UNKNOWN_CALL, None, id="in capitals"),
]


@pytest.mark.parametrize(("topic", "ignored", "status"), ATTEMPTS)
async def test_attempts_to_answer(site: Site, topic: str, ignored: IgnoredAnswer | None, status: int | None) -> None:
    device, other = site.login(), site.login("d2")
    subscribe(device, METHODS)
    subscribe(other, METHODS)
    calling = call(site)
    calling_other = asyncio.create_task(
        site.methods.invoke(D2, "x", b"", connect_timeout_s=0, response_timeout_s=PATIENCE_S)
    )
    rid, other_rid = (await called(device)).rid, (await called(other)).rid
    device.publish(topic.format(rid=rid, RID=rid.upper(), other=other_rid), b"{}")
    assert not device.is_closed()
    assert [type(packet) for packet in device.received()] == [Puback]
    ignorances = [event for event in site.events if isinstance(event, MethodAnswerIgnored)]
    assert ignorances == ([] if ignored is None else [MethodAnswerIgnored("d1", ignored)])
    if status is None:
        assert not calling.done()
        device.publish(f"$iothub/methods/res/200/?$rid={rid}", b"{}", packet_id=2)
    assert (await calling).status == (200 if status is None else status)
    other.publish(f"$iothub/methods/res/204/?$rid={other_rid}", b"{}")
    assert (await calling_other).status == 204


@pytest.mark.parametrize(
    "topic",
    [
        "$iothub/methods/res/200/",
        "$iothub/methods/res/200/?$rid=",
        "$iothub/methods/res/200/?rid={rid}",
        "$iothub/methods/res/200/x?$rid={rid}",
        "$iothub/methods/res/200?$rid={rid}",
        "$iothub/methods/res//?$rid={rid}",
        "$iothub/methods/res/200/?$rid=" + "x" * 257,
        "$iothub/methods/POST/reboot/?$rid={rid}",
        "$iothub/METHODS/res/200/?$rid={rid}",
    ],
)
async def test_answers_of_another_form_end_the_connection_and_answer_nothing(site: Site, topic: str) -> None:
    device = site.login()
    subscribe(device, METHODS)
    calling = call(site)
    rid = (await called(device)).rid
    device.publish(topic.format(rid=rid), b"{}")
    assert device.is_closed()
    assert any(isinstance(event, MessageRefused) for event in site.events)
    assert not calling.done()
    again = site.login()
    again.publish(f"$iothub/methods/res/200/?$rid={rid}", b"", qos=0)
    assert (await calling).status == 200


async def test_an_answer_is_taken_once_and_a_rid_is_never_used_again(site: Site) -> None:
    device = site.login()
    subscribe(device, METHODS)
    calling = call(site)
    rid = (await called(device)).rid
    for status in (200, 500):
        device.publish(f"$iothub/methods/res/{status}/?$rid={rid}", b"")
    assert (await calling).status == 200
    next_call = call(site)
    assert (await called(device)).rid != rid
    device.publish(f"$iothub/methods/res/500/?$rid={rid}", b"")
    assert not next_call.done()
    assert site.reasons(MethodAnswerIgnored) == [IgnoredAnswer.UNKNOWN_CALL] * 2
    next_call.cancel()
    await asyncio.wait([next_call])


async def test_a_call_that_is_larger_than_the_device_takes_is_not_brought(site: Site) -> None:
    device = site.login(level=5, maximum_packet_size=1_000)
    subscribe(device, METHODS)
    with pytest.raises(MethodError) as caught:
        await call(site, payload=b'"' + b"x" * 1_000 + b'"')
    assert caught.value.fault is MethodFault.TOO_LARGE
    assert "larger than 'd1' takes" in str(caught.value)
    assert not device.is_closed()


async def test_a_small_board_gets_no_message_and_no_call_that_it_has_no_room_for(
    site: Site, source: QueueSource
) -> None:
    device = site.login(constrained=True)
    subscribe(device, C2D)
    source.send(D1, cloud_message(b"x" * SMALL_PACKET))
    source.send(D1, cloud_message(b"small"))
    assert [publish.payload for publish in published(device)] == [b"small"]
    assert [settlement for _, settlement in source.settled] == [Settlement.REJECTED]
    [refused] = [event for event in site.events if isinstance(event, CloudMessageRefused)]
    assert refused.detail == "with a body of 300 bytes it is larger than the device takes"
    subscribe(device, METHODS)
    with pytest.raises(MethodError) as caught:
        await call(site, payload=b'"' + b"x" * SMALL_PACKET + b'"')
    assert caught.value.fault is MethodFault.TOO_LARGE
